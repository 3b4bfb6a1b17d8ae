INSERT INTO history (run, seq, count, events) VALUES (?, ?, ?, ?)
