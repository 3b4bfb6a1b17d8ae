INSERT INTO delivery (uuid, endpoint, status, created_at, due_at, shown)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::text[])
