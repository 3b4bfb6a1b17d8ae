DELETE FROM timer WHERE (run, key) IN (VALUES (?, ?))
