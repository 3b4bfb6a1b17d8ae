-- Of each run from the row that holds the first event asked for.
SELECT b.run, h.seq, h.events
FROM unnest($1::bigint[], $2::int[]) AS b (run, seq) CROSS JOIN LATERAL (
  SELECT history.seq, history.events FROM history
  WHERE history.run = b.run
    AND history.seq >= coalesce((SELECT max(o.seq) FROM history o WHERE o.run = b.run AND o.seq <= b.seq), 1)
) h
ORDER BY b.run, h.seq
