-- By id, along record_by_owner.
SELECT kind, id, owner, version, due_at, data FROM record
WHERE kind = ?1 AND owner = ?3 AND (?4 IS NULL OR due_at <= ?4)
ORDER BY id
LIMIT ?5
