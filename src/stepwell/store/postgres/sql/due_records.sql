-- Oldest first, along record_by_due.
SELECT kind, id, owner, version, due_at, data FROM record
WHERE kind = $1 AND due_at <= $2
ORDER BY due_at, id
LIMIT $3
