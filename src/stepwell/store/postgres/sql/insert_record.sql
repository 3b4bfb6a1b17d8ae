INSERT INTO record (kind, id, owner, version, due_at, data) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
