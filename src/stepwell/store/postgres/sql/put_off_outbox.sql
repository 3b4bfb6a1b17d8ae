UPDATE outbox SET tries = tries + 1, due_at = b.due_at
FROM unnest($1::bigint[], $2::float8[]) AS b (id, due_at)
WHERE outbox.id = b.id
