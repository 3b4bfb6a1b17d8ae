SELECT kind, id, owner, version, due_at, data FROM record WHERE kind = $1 ORDER BY id LIMIT $2
