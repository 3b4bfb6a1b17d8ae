INSERT INTO run_text (rowid, text) VALUES (?, ?)
