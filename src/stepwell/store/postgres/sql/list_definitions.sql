SELECT digest, kind, name, version, text, created_at FROM definition
WHERE saved IN (SELECT max(saved) FROM definition GROUP BY name, version)
ORDER BY name, saved DESC
