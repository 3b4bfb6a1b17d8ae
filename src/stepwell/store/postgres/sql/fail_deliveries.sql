-- Along delivery_by_endpoint.
UPDATE delivery SET status = 'failed', due_at = NULL
WHERE id IN (SELECT id FROM delivery WHERE endpoint = $1 AND status = 'pending' ORDER BY id LIMIT $2)
