DELETE FROM delivery WHERE id = ANY ($1::bigint[])
