SELECT n + count FROM stream WHERE run = $1 ORDER BY n DESC LIMIT 1
