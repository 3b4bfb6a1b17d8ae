UPDATE record SET owner = ?, version = ?, due_at = ?, data = ? WHERE kind = ? AND id = ? AND version = ?
