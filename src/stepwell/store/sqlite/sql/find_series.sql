SELECT id FROM series WHERE workflow = ? AND owner = ? AND name = ?
