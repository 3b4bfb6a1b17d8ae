-- Along run_live, oldest first. A run has a job, or its node has.
SELECT id, uuid FROM run
WHERE live AND id > $1 AND NOT EXISTS (
  SELECT FROM pgqueuer
  WHERE dedupe_key = CASE WHEN run.node IS NULL THEN run.uuid || ':' || run.woken ELSE 'node:' || run.node END
)
ORDER BY id
LIMIT $2
