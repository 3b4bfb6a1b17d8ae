INSERT INTO series (workflow, owner, name)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (workflow, owner, name) DO NOTHING
