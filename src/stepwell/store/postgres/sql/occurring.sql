-- Which of these trigrams occur often, and in what share of the runs, as far as the server has looked (ANALYZE); and the
-- number of the newest run.
SELECT (
         SELECT ARRAY[array_agg(gram::float8), array_agg(share::float8)]
         FROM pg_stats,
              unnest(most_common_elems::text::int[],
                     most_common_elem_freqs[1:cardinality(most_common_elems::text::int[])]) AS e (gram, share)
         WHERE schemaname = current_schema AND tablename = 'run_text' AND attname = 'grams'
           AND gram = ANY ($1::int[])
       ),
       (SELECT coalesce(max(id), 0) FROM run)
