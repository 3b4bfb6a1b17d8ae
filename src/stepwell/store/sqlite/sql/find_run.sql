SELECT id, seq, live FROM run WHERE uuid = ?
