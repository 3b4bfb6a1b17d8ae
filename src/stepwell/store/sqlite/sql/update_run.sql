WITH new (id, base, seq, step, attempts, live, status, ended_at, shown) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))
UPDATE run
SET seq = new.seq, step = new.step, attempts = new.attempts, live = coalesce(new.live, run.live),
    status = new.status, ended_at = new.ended_at, shown = new.shown
FROM new WHERE run.id = new.id AND run.seq = new.base
