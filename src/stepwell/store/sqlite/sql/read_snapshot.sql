SELECT seq, state FROM snapshot WHERE run = ?
