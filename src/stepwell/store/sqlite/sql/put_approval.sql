INSERT INTO approval (uuid, run, status, owner, shown) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (uuid) DO UPDATE SET status = excluded.status, shown = excluded.shown
RETURNING id
