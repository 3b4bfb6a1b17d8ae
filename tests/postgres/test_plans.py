"""No statement scans a table that grows: the server says how it would go about each of them."""

import re

from stepwell.dispatch.pgqueuer import PgQueuerJobs
from stepwell.store.postgres import PostgresStore
from stepwell.store.sql import statements

from .server import new_database

ALL_OF_THEM = {"list_definitions": {"definition"}}
"""Asked for everything that a table holds."""
ROWS = 20_000
FILLED = f"""
    INSERT INTO series (workflow, owner, name) SELECT 'w' || n, '', '' FROM generate_series(1, {ROWS}) n;
    INSERT INTO run (uuid, seq, live, attempts, created_at, series, status, owner, workflow, step, definition, door,
                     shown)
    SELECT 'r' || n, 2, n % 100 = 0, 0, n, n, 'completed', '', 'w' || n, '', 'd', '', '{{}}'
    FROM generate_series(1, {ROWS}) n;
    INSERT INTO run_text (run, text, grams) SELECT id, uuid, ARRAY[id % 1000] FROM run;
    INSERT INTO run_count (series, day, status, runs) SELECT series, '', status, 1 FROM run;
    INSERT INTO history (run, seq, count, events) SELECT id, n, 1, '[]' FROM run, generate_series(1, 2) n;
    INSERT INTO stream (run, n, count, items) SELECT id, n, 1, '[]' FROM run, generate_series(1, 2) n;
    INSERT INTO snapshot (run, seq, state) SELECT id, 1, '' FROM run;
    INSERT INTO timer (run, key, due_at) SELECT id, '/t', id FROM run;
    INSERT INTO approval (uuid, run, status, owner, shown) SELECT 'a' || id, id, 'pending', '', '{{}}' FROM run;
    INSERT INTO decider (who, status, approval) SELECT 'w' || id, 'pending', id FROM approval;
    INSERT INTO listener (type, source, run, signal) SELECT 't' || id, '', id, 's' FROM run;
    INSERT INTO outbox (kind, run, data, due_at) SELECT 'k', uuid, '{{}}', id FROM run;
    INSERT INTO delivery (uuid, endpoint, status, created_at, due_at, shown)
    SELECT 'd' || id, 'e' || id % 100, 'pending', id, id, '{{}}' FROM run;
    INSERT INTO definition (digest, name, version, kind, text, created_at, saved)
    SELECT 'd' || id, 'w' || id, '1', 'flow', '', id, id FROM run;
    INSERT INTO record (kind, id, owner, version, due_at, data)
    SELECT 'k' || id % 10, id::text, 'o' || id, 1, id, '{{}}' FROM run;
    INSERT INTO pgqueuer (priority, created, updated, execute_after, heartbeat, status, entrypoint, dedupe_key)
    SELECT 0, now(), now(), now(), now(), 'queued', 'run', uuid || ':0' FROM run;
    ANALYZE;
"""
PLAN = """
    CREATE FUNCTION pg_temp.plan(statement text) RETURNS SETOF text LANGUAGE plpgsql
    AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (GENERIC_PLAN) ' || statement; END $$
"""


async def test_no_statement_scans_a_table_that_grows() -> None:
    store, scans = PostgresStore(new_database(), jobs=PgQueuerJobs()), {}
    await store.open()
    try:
        async with store._writing.use() as connection:
            await connection.execute(FILLED)
            await connection.execute(PLAN)
            await connection.execute("SET enable_seqscan = on")  # what this connection is kept from by itself
            for name, statement in statements("postgres").items():
                lines = [line for (line,) in await connection.fetch("SELECT pg_temp.plan($1)", statement)]
                scanned = set(re.findall(r"Seq Scan on (?!pg_)(\w+)", "\n".join(lines)))
                if more := scanned - ALL_OF_THEM.get(name, set()):
                    scans[name] = more
    finally:
        await store.close()
    assert scans == {}
