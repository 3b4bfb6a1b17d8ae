INSERT INTO series (workflow, owner, name) VALUES (?, ?, ?)
ON CONFLICT (workflow, owner, name) DO NOTHING
