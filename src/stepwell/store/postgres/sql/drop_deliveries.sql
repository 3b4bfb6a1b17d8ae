DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE endpoint = $1 LIMIT $2)
