INSERT INTO history (run, seq, count, events, hash)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[], $4::bytea[], $5::bytea[])
