INSERT OR IGNORE INTO decider (who, status, approval) VALUES (?, ?, ?)
