-- Lock, fence and optimistic check in one: only who saw the last event, and drives or was told of no other driver,
-- moves the run. Rows are locked in the order of the ids given, so that two such statements cannot wait for each other.
UPDATE run
SET seq = b.seq,
    step = b.step,
    attempts = b.attempts,
    live = coalesce(b.live, run.live),
    node = CASE WHEN b.live IS FALSE THEN NULL ELSE run.node END,
    epoch = run.epoch + (coalesce(b.live, false) AND NOT run.live)::int,
    woken = CASE WHEN b.live AND NOT run.live THEN run.epoch + 1 ELSE run.woken END,
    status = coalesce(b.status, run.status),
    ended_at = CASE WHEN b.shown IS NULL THEN run.ended_at ELSE b.ended_at END,
    reason = CASE WHEN b.shown IS NULL THEN run.reason ELSE b.reason END,
    shown = coalesce(b.shown, run.shown)
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::int[], $5::text[], $6::int[], $7::bool[], $8::text[],
            $9::float8[], $10::text[], $11::text[])
     AS b (id, base, epoch, seq, step, attempts, live, status, ended_at, reason, shown)
WHERE run.id = b.id AND run.seq = b.base AND run.epoch = b.epoch
RETURNING run.id, run.epoch, CASE WHEN run.epoch <> b.epoch THEN run.workflow END
