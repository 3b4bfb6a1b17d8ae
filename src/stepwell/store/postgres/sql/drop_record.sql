DELETE FROM record WHERE kind = $1 AND id = $2
