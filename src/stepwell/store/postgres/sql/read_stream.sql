SELECT n, items FROM stream
WHERE run = $1 AND n >= coalesce((SELECT max(n) FROM stream WHERE run = $1 AND n <= $2), 1)
ORDER BY n
LIMIT $3
