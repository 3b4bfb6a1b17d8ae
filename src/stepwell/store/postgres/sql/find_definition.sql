SELECT digest, kind, name, version, text, created_at FROM definition
WHERE ($1 <> '' AND digest = $1) OR ($1 = '' AND name = $2 AND ($3 = '' OR version = $3))
ORDER BY saved DESC
LIMIT 1
