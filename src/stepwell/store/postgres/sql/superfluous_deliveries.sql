-- The oldest of one endpoint and status, along delivery_by_endpoint: created long ago, or beyond the newest $4.
SELECT id FROM (
  SELECT id, created_at FROM delivery WHERE endpoint = $1 AND status = $2 ORDER BY id LIMIT $5
) oldest
WHERE created_at < $3 OR id <= coalesce(
  (SELECT id FROM delivery WHERE endpoint = $1 AND status = $2 ORDER BY id DESC LIMIT 1 OFFSET $4), -1
)
