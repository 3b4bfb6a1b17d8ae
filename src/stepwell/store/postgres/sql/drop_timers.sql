DELETE FROM timer USING unnest($1::bigint[], $2::text[]) AS b (run, key)
WHERE timer.run = b.run AND timer.key = b.key
