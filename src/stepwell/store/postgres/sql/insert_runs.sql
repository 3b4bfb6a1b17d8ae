-- One whose id or start key is taken is left out: nothing else of its batch is written then.
INSERT INTO run (uuid, seq, live, status, owner, workflow, series, step, attempts, created_at, ended_at, start_key,
                 definition, parent, door, reason, shown)
SELECT * FROM unnest($1::text[], $2::int[], $3::bool[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
                     $9::int[], $10::float8[], $11::float8[], $12::text[], $13::text[], $14::text[], $15::text[],
                     $16::text[], $17::text[])
ON CONFLICT DO NOTHING
RETURNING id, uuid
