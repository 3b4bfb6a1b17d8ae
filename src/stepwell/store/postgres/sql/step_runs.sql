-- What most commits are: runs that move on, with their events and nothing else. As in move_runs, only who saw the last
-- event and drives the run moves it, and rows are locked in the order of the ids given. Numbers and keys come as the
-- text of an array, and all events as one value with the place of each run's: both cost the driver a fraction of what
-- arrays do.
WITH moved AS (
  UPDATE run
  SET seq = b.base + b.count, step = b.step, attempts = b.attempts
  FROM unnest($1::text::bigint[], $2::text::int[], $3::text::int[], $4::text::int[], $5::text::text[],
              $6::text::int[], $8::text::int[], $9::text::int[], $10::bytea[])
       AS b (id, base, epoch, count, step, attempts, place, size, hash)
  WHERE run.id = b.id AND run.seq = b.base AND run.epoch = b.epoch
  RETURNING run.id, b.base + 1 AS seq, b.count, substring($7::bytea FROM b.place FOR b.size) AS events, b.hash
), kept AS (
  INSERT INTO history (run, seq, count, events, hash) SELECT id, seq, count, events, hash FROM moved RETURNING run
)
SELECT array_agg(run) FROM kept
