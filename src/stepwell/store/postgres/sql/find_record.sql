SELECT kind, id, owner, version, due_at, data FROM record
WHERE kind = $1 AND id = $2 AND ($3::text IS NULL OR owner = $3) AND ($4::float8 IS NULL OR due_at <= $4)
LIMIT $5
