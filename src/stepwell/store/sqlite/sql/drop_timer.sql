DELETE FROM timer WHERE run = ? AND key = ?
