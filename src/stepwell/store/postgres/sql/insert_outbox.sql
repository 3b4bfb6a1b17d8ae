INSERT INTO outbox (kind, run, data, due_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[])
