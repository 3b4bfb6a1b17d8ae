-- Of two nodes the second waits for the first, and finds that they are not due any more.
UPDATE delivery SET due_at = $3
WHERE uuid = ANY ($1::text[]) AND status = 'pending' AND due_at <= $2
RETURNING uuid
