INSERT INTO stream (run, n, count, items)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bytea[])
