INSERT INTO record (kind, id, owner, version, due_at, data) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, id) DO UPDATE
SET owner = excluded.owner, version = excluded.version, due_at = excluded.due_at, data = excluded.data
