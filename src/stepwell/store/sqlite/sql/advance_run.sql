-- The hot path: touches no index. `base`, the seq it is based on, is the optimistic check.
WITH new (id, base, seq, step, attempts) AS (VALUES (?, ?, ?, ?, ?))
UPDATE run SET seq = new.seq, step = new.step, attempts = new.attempts
FROM new WHERE run.id = new.id AND run.seq = new.base
