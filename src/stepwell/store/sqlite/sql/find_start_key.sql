SELECT uuid FROM run WHERE owner = ? AND start_key = ?
