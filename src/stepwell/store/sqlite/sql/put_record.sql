INSERT INTO record (kind, id, owner, version, due_at, data) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE
SET owner = excluded.owner, version = excluded.version, due_at = excluded.due_at, data = excluded.data
