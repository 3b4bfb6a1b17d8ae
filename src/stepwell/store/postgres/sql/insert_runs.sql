-- One whose id or start key is taken is left out: nothing else of its batch is written then.
INSERT INTO run (uuid, seq, epoch, node, live, status, owner, workflow, series, step, attempts, created_at, ended_at,
                 start_key, definition, parent, door, reason, shown)
SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[], $5::bool[], $6::text[], $7::text[], $8::text[],
                     $9::bigint[], $10::text[], $11::int[], $12::float8[], $13::float8[], $14::text[], $15::text[],
                     $16::text[], $17::text[], $18::text[], $19::text[])
ON CONFLICT DO NOTHING
RETURNING id, uuid
