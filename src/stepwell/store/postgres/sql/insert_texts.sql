-- The numbers of each run's trigrams come as the text of an array, since arrays of arrays must be of one length.
INSERT INTO run_text (run, text, grams)
SELECT run, text, grams::int[] FROM unnest($1::bigint[], $2::text[], $3::text[]) AS b (run, text, grams)
