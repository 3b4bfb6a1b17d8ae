-- The longest due first, along delivery_by_due.
SELECT id, status, due_at, shown FROM delivery
WHERE status = 'pending' AND endpoint = ? AND due_at <= ?
ORDER BY due_at, id
LIMIT ?
