-- In the order of the key, so that two groups cannot wait for each other.
INSERT INTO run_count (series, day, status, runs)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
ON CONFLICT (series, day, status) DO UPDATE SET runs = run_count.runs + excluded.runs
