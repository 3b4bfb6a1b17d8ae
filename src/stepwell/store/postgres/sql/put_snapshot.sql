INSERT INTO snapshot (run, seq, state) VALUES ($1, $2, $3)
ON CONFLICT (run) DO UPDATE SET seq = excluded.seq, state = excluded.state
