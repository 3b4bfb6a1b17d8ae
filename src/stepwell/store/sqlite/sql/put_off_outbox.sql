UPDATE outbox SET tries = tries + 1, due_at = ? WHERE id = ?
