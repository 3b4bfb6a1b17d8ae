-- Along run_live: what a node left behind. Its epoch goes up when somebody takes it over.
UPDATE run SET node = NULL WHERE live AND node = $1 RETURNING uuid, woken, workflow
