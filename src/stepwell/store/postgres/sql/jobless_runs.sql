-- Of the next $2 live runs, along run_live, oldest first, those without a job: a run has one, or its node has. With
-- the number of the last that was looked at; none when these were all. Statuses, NOT NULL and collation are those of
-- PgQueuer's index of its keys; with nothing between (OFFSET 0) the planner may rather read the whole queue.
WITH looked AS MATERIALIZED (
  SELECT id, uuid, node, woken FROM run WHERE live AND id > $1 ORDER BY id LIMIT $2
), jobless AS MATERIALIZED (
  SELECT id, uuid FROM looked AS run
  WHERE NOT EXISTS (
    SELECT FROM pgqueuer
    WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
      AND dedupe_key COLLATE "default" =
        CASE WHEN run.node IS NULL THEN run.uuid || ':' || run.woken ELSE 'node:' || run.node END
    OFFSET 0
  )
  ORDER BY id
  LIMIT $3
)
SELECT
  (SELECT max(id) FROM looked HAVING count(*) = $2) AS last,
  ARRAY(SELECT id FROM jobless ORDER BY id) AS numbers,
  ARRAY(SELECT uuid FROM jobless ORDER BY id) AS ids
