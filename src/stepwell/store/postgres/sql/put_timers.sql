INSERT INTO timer (run, key, due_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::float8[])
ON CONFLICT (run, key) DO UPDATE SET due_at = excluded.due_at
