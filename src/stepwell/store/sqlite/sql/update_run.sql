UPDATE run
SET seq = ?, step = ?, attempts = ?, live = coalesce(?, live), status = ?, ended_at = ?, shown = ?
WHERE id = ? AND seq = ?
