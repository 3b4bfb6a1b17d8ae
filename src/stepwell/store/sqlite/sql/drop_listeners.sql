DELETE FROM listener WHERE run = ?
