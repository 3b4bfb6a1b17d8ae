INSERT INTO run (id, uuid, seq, live, status, owner, workflow, series, step, attempts, created_at, ended_at,
                 start_key, definition, parent, shown)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
