-- From the row before the one that holds the first event asked for: it has the hash that is needed to go on.
SELECT seq, count, events, hash FROM history
WHERE run = $1 AND seq >= coalesce(
  (SELECT max(seq) FROM history
   WHERE run = $1 AND seq < (SELECT max(seq) FROM history WHERE run = $1 AND seq <= $2)), 1
)
ORDER BY seq
LIMIT $3
