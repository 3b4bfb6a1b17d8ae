-- From the row that holds the first event asked for.
SELECT seq, events FROM history
WHERE run = $1 AND seq >= coalesce((SELECT max(seq) FROM history WHERE run = $1 AND seq <= $2), 1)
ORDER BY seq
LIMIT $3
