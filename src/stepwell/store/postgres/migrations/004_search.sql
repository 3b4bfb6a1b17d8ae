-- Beside the trigrams of a text, the block of runs that it is in and its run's series: so those of the newest runs, or
-- of one workflow, are found without all others. ways.py has these numbers, too; trigrams are never below 0. The series
-- of older texts is not known: 0. Where numbers are as large as that, two blocks or series share one.
ALTER TABLE run_text ADD COLUMN series bigint;
DROP INDEX run_text_by_gram;
CREATE INDEX run_text_by_place ON run_text
USING gin ((grams || ARRAY[(-1 - 2 * ((run >> 15) % 1000000000))::int,
                           (-2 - 2 * (coalesce(series, 0) % 1000000000))::int]));
