DELETE FROM listener WHERE run = ANY ($1::bigint[])
