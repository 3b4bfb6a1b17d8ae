-- Oldest first, along outbox_by_due.
SELECT id, kind, run, data, tries, due_at FROM outbox WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2
