-- Beside the trigrams of a text, the block of runs that it is in and its run's series: so those of the newest runs, or
-- of one workflow, are found without all others. finding.py has these numbers, too; trigrams are never below 0. The
-- series of older texts is not known: 0.
ALTER TABLE run_text ADD COLUMN series bigint;
DROP INDEX run_text_by_gram;
CREATE INDEX run_text_by_place ON run_text
USING gin ((grams || ARRAY[(-1 - 2 * (run >> 15))::int, (-2 - 2 * coalesce(series, 0))::int]));
