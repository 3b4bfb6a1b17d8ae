INSERT INTO run_count (owner, workflow, day, status, runs) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (owner, workflow, day, status) DO UPDATE SET runs = runs + excluded.runs
