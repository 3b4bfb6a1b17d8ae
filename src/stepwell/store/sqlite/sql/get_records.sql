SELECT kind, id, owner, version, due_at, data FROM record
WHERE kind = ?1 AND (?2 = '' OR id = ?2) AND (?3 IS NULL OR due_at <= ?3)
ORDER BY id
LIMIT ?4
