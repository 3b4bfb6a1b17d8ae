INSERT INTO approval (uuid, run, status, owner, shown)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (uuid) DO UPDATE SET status = excluded.status, shown = excluded.shown
RETURNING id, uuid
