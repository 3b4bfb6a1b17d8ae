-- The hot path: touches no index. `seq` is the optimistic check.
UPDATE run SET seq = ?, step = ?, attempts = ? WHERE id = ? AND seq = ?
