-- Runs that nobody has been told to drive: parked ones, live ones of whose job PgQueuer knows nothing, nor of their
-- node's, and those that their node (the one that asks) says it does not drive. Nodes notice the same run at the same
-- time: whoever comes second waits for its row, and finds another epoch there than the one that it saw without a job.
-- Jobs are looked up as in jobless_runs.
WITH seen AS MATERIALIZED (
  SELECT id, epoch FROM run
  WHERE uuid = ANY ($1::text[])
    AND (NOT live OR node = $2 OR NOT EXISTS (
      SELECT FROM pgqueuer
      WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL
        AND dedupe_key COLLATE "default" =
          CASE WHEN run.node IS NULL THEN run.uuid || ':' || run.woken ELSE 'node:' || run.node END
    ))
)
UPDATE run SET live = true, node = NULL, epoch = run.epoch + 1, woken = run.epoch + 1
FROM seen
WHERE run.id = seen.id AND run.epoch = seen.epoch
RETURNING run.uuid, run.woken, run.workflow
