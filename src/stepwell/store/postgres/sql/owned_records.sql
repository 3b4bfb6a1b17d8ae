-- By id, along record_by_owner.
SELECT kind, id, owner, version, due_at, data FROM record
WHERE kind = $1 AND owner = $2 AND ($3::float8 IS NULL OR due_at <= $3)
ORDER BY id
LIMIT $4
