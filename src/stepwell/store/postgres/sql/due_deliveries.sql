-- The longest due first, along delivery_by_due.
SELECT id, status, due_at, shown FROM delivery
WHERE status = 'pending' AND endpoint = $1 AND due_at <= $2
ORDER BY due_at, id
LIMIT $3
