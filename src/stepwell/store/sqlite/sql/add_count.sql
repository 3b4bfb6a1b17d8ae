INSERT INTO run_count (series, day, status, runs) VALUES (?, ?, ?, ?)
ON CONFLICT (series, day, status) DO UPDATE SET runs = runs + excluded.runs
