UPDATE delivery SET status = b.status, due_at = b.due_at, shown = b.shown
FROM unnest($1::text[], $2::float8[], $3::text[], $4::text[]) AS b (status, due_at, shown, uuid)
WHERE delivery.uuid = b.uuid
