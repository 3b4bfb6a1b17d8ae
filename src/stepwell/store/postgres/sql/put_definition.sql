INSERT INTO definition (digest, name, version, kind, text, created_at, saved)
VALUES ($1, $2, $3, $4, $5, $6, (SELECT coalesce(max(saved), 0) + 1 FROM definition WHERE name = $2))
ON CONFLICT (digest) DO UPDATE SET saved = excluded.saved
