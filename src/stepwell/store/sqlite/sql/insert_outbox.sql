INSERT INTO outbox (kind, run, data, due_at) VALUES (?, ?, ?, ?)
