WITH new (id, seq, live) AS (VALUES (?, ?, ?))
UPDATE run SET live = new.live FROM new WHERE run.id = new.id AND run.seq = new.seq
