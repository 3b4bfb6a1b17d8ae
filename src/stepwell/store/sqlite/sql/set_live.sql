UPDATE run SET live = ? WHERE id = ? AND seq = ?
