SELECT n + count FROM stream WHERE run = ? ORDER BY n DESC LIMIT 1
