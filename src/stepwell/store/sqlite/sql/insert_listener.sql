INSERT OR IGNORE INTO listener (type, source, run, signal) VALUES (?, ?, ?, ?)
