SELECT id, seq FROM run WHERE uuid = $1
