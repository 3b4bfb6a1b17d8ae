-- The first and the last row of each history, along history_by_run.
SELECT run.uuid, h.events
FROM run CROSS JOIN LATERAL (
  (SELECT history.seq, history.events FROM history WHERE history.run = run.id ORDER BY history.seq LIMIT 1)
  UNION
  (SELECT history.seq, history.events FROM history WHERE history.run = run.id ORDER BY history.seq DESC LIMIT 1)
) h
WHERE run.uuid = ANY ($1::text[])
ORDER BY h.seq
