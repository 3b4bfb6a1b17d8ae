UPDATE record SET owner = $3, version = $4, due_at = $5, data = $6 WHERE kind = $1 AND id = $2 AND version = $7
