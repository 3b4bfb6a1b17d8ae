INSERT INTO stream (run, n, count, items) VALUES (?, ?, ?, ?)
