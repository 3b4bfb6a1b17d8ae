-- Runs that nobody has been told to drive: parked ones, live ones of whose job PgQueuer knows nothing, nor of their
-- node's, and those that their node (the one that asks) says it does not drive.
UPDATE run SET live = true, node = NULL, epoch = epoch + 1, woken = epoch + 1
WHERE uuid = ANY ($1::text[])
  AND (NOT live OR node = $2 OR NOT EXISTS (
    SELECT FROM pgqueuer
    WHERE dedupe_key = CASE WHEN run.node IS NULL THEN run.uuid || ':' || run.woken ELSE 'node:' || run.node END
  ))
RETURNING uuid, woken, workflow
