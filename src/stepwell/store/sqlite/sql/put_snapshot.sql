INSERT INTO snapshot (run, seq, state) VALUES (?, ?, ?)
ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, state = excluded.state
