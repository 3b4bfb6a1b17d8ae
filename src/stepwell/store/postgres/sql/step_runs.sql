-- What most commits are: runs that move on, with their events and nothing else. As in move_runs, only who saw the last
-- event and drives the run moves it, and rows are locked in the order of the ids given. Numbers and keys come as the
-- text of an array, which the driver makes at a fraction of the cost of an array.
WITH moved AS (
  UPDATE run
  SET seq = b.base + b.count, step = b.step, attempts = b.attempts
  FROM unnest($1::text::bigint[], $2::text::int[], $3::text::int[], $4::text::int[], $5::text::text[],
              $6::text::int[], $7::bytea[], $8::bytea[])
       AS b (id, base, epoch, count, step, attempts, events, hash)
  WHERE run.id = b.id AND run.seq = b.base AND run.epoch = b.epoch
  RETURNING run.id, b.base + 1 AS seq, b.count, b.events, b.hash
), kept AS (
  INSERT INTO history (run, seq, count, events, hash) SELECT id, seq, count, events, hash FROM moved RETURNING run
)
SELECT array_agg(run) FROM kept
