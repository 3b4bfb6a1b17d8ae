INSERT INTO definition (digest, name, version, kind, text, created_at, saved)
VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(saved), 0) + 1 FROM definition))
ON CONFLICT (digest) DO UPDATE SET saved = excluded.saved
