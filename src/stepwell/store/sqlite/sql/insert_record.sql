INSERT OR IGNORE INTO record (kind, id, owner, version, due_at, data) VALUES (?, ?, ?, ?, ?, ?)
