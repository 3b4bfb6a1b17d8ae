-- Along run_live, oldest first.
SELECT id, uuid FROM run
WHERE live AND id > $1 AND NOT EXISTS (SELECT FROM pgqueuer WHERE dedupe_key = run.uuid || ':' || run.woken)
ORDER BY id
LIMIT $2
