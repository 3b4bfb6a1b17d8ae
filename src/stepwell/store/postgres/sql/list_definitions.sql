SELECT digest, kind, name, version, text, created_at FROM definition
WHERE saved = (SELECT max(saved) FROM definition d WHERE d.name = definition.name AND d.version = definition.version)
ORDER BY name, saved DESC
