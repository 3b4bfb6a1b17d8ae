INSERT INTO timer (run, key, due_at) VALUES (?, ?, ?)
ON CONFLICT (run, key) DO UPDATE SET due_at = excluded.due_at
