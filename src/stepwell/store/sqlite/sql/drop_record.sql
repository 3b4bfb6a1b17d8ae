DELETE FROM record WHERE kind = ? AND id = ?
