SELECT id, seq, step, attempts, shown FROM run WHERE id = ANY ($1::bigint[]) ORDER BY id DESC
