-- The first and the last row of each history, along history_by_run; one answer, since every row that is stepped to may
-- have to wait for the interpreter's lock.
SELECT '[' || coalesce(group_concat(
         '[' || json_quote(run.uuid) || ',' || history.events || ']', ',' ORDER BY history.seq
       ), '') || ']'
FROM json_each(?) AS wanted
CROSS JOIN run ON run.uuid = wanted.value
CROSS JOIN history ON history.run = run.id
  AND history.seq IN (1, (SELECT max(latest.seq) FROM history AS latest WHERE latest.run = run.id))
