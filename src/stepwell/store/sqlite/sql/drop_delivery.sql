DELETE FROM delivery WHERE id = ?
