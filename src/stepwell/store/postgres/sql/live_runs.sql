-- Along run_live, oldest first.
SELECT id, uuid FROM run WHERE live AND id > $1 ORDER BY id LIMIT $2
