UPDATE delivery SET status = ?, due_at = ?, shown = ? WHERE uuid = ?
