-- Oldest first along run_by_status, one terminal status at a time.
SELECT id, uuid, series, created_at, status FROM run
WHERE status = ? AND ended_at < ?
ORDER BY id
LIMIT ?
