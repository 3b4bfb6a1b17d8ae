-- Along run_live, oldest first.
SELECT id, uuid FROM run WHERE live = 1 AND id > ? ORDER BY id LIMIT ?
