-- Oldest first along run_by_status, one terminal status at a time.
SELECT id, uuid, series, created_at, status FROM run
WHERE status = $1 AND ended_at < $2
ORDER BY id
LIMIT $3
