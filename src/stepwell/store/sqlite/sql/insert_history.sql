INSERT INTO history (run, seq, count, events, hash) VALUES (?, ?, ?, ?, ?)
