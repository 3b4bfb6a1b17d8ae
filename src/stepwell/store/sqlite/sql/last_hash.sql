SELECT hash FROM history WHERE run = ? ORDER BY seq DESC LIMIT 1
