-- The numbers of each run's trigrams come as the text of an array, since arrays of arrays must be of one length.
INSERT INTO run_text (run, series, text, grams)
SELECT run, series, text, grams::int[]
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS b (run, series, text, grams)
