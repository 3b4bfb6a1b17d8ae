INSERT INTO delivery (uuid, endpoint, status, created_at, due_at, shown) VALUES (?, ?, ?, ?, ?, ?)
