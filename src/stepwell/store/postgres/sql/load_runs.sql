SELECT run.id, run.uuid, run.epoch, run.seq, run.live, snapshot.seq AS snapshot_seq, snapshot.state,
       (SELECT n + count FROM stream WHERE stream.run = run.id ORDER BY n DESC LIMIT 1) AS next_item,
       (SELECT hash FROM history WHERE history.run = run.id ORDER BY history.seq DESC LIMIT 1) AS hash
FROM run LEFT JOIN snapshot ON snapshot.run = run.id AND $2 = 0
WHERE run.uuid = ANY ($1::text[])
