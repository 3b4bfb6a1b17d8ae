SELECT uuid FROM run WHERE owner = $1 AND start_key = $2
