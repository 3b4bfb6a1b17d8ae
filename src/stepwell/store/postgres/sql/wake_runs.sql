-- Runs that nobody has been told to drive: parked ones, and live ones of whose job PgQueuer knows nothing.
UPDATE run SET live = true, epoch = epoch + 1, woken = epoch + 1
WHERE uuid = ANY ($1::text[])
  AND (NOT live OR NOT EXISTS (SELECT FROM pgqueuer WHERE dedupe_key = run.uuid || ':' || run.woken))
RETURNING uuid, woken, workflow
