"""Copies the runs of a PostgreSQL database into the time after them, by the server itself: a million in some minutes.

Each copy is a run of its own: with its own id, instants and number of its order, by which it is found, and in the
totals. Only the instants in its history and in its shown row stay as they were.
"""

from typing import Any, Final

import asyncpg

LONGEST_S: Final = 3_600.0
_PREPARE: Final = """
SET maintenance_work_mem = '512MB';
CREATE FUNCTION pg_temp.grams(text) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
  SELECT array_agg((ascii(substr($1, n)) << 20) | (ascii(substr($1, n + 1)) << 10) | ascii(substr($1, n + 2)))
  FROM generate_series(1, length($1) - 2) n
$$;
CREATE TEMPORARY TABLE base AS SELECT run.*, text, grams AS rest FROM run JOIN run_text ON run_text.run = run.id;
-- The trigrams of what all copies have in common: the labels without the order's number.
UPDATE base SET rest = pg_temp.grams(regexp_replace(substr(text, 37), 'order-[0-9]+', 'order-'));
ANALYZE base;
"""
_COPIED: Final = """
CREATE TEMPORARY TABLE copied AS
SELECT base.id AS base, base.id + $1::bigint * $2 AS id, base.uuid AS was, base.created_at + $1 * $3 AS created_at,
       lpad(to_hex(floor((base.created_at + $1 * $3) * 1000)::bigint), 12, '0') AS begins,
       substr(md5(base.uuid || $1), 1, 18) AS ends, base.id - 1 + $1::bigint * $2 AS number
FROM base;
ALTER TABLE copied ADD uuid text;
UPDATE copied SET uuid = concat_ws('-', substr(begins, 1, 8), substr(begins, 9, 4), '7' || substr(ends, 1, 3),
                                   '8' || substr(ends, 4, 3), substr(ends, 7, 12));
"""
_ROWS: Final = (
    """
    INSERT INTO run (id, uuid, seq, epoch, woken, live, attempts, created_at, ended_at, series, status, owner,
                     workflow, step, start_key, definition, parent, door, reason, shown)
    OVERRIDING SYSTEM VALUE
    SELECT c.id, c.uuid, b.seq, b.epoch, b.woken, b.live, b.attempts, c.created_at,
           c.created_at + b.ended_at - b.created_at, b.series, b.status, b.owner, b.workflow, b.step, b.start_key,
           b.definition, b.parent, b.door, b.reason,
           replace(replace(b.shown, c.was, c.uuid), 'order-' || lpad((c.base - 1)::text, 7, '0'),
                   'order-' || lpad(c.number::text, 7, '0'))
    FROM copied c JOIN base b ON b.id = c.base ORDER BY c.id
    """,
    """
    INSERT INTO run_text (run, series, text, grams)
    SELECT c.id, b.series, replace(replace(b.text, c.was, c.uuid), 'order-' || lpad((c.base - 1)::text, 7, '0'),
                         'order-' || lpad(c.number::text, 7, '0')),
           b.rest || pg_temp.grams(c.uuid || ' ') || pg_temp.grams('r-' || lpad(c.number::text, 7, '0'))
    FROM copied c JOIN base b ON b.id = c.base ORDER BY c.id
    """,
    """
    INSERT INTO history (run, seq, count, events, hash)
    SELECT c.id, h.seq, h.count, h.events, h.hash FROM copied c JOIN history h ON h.run = c.base ORDER BY c.id, h.seq
    """,
    """
    INSERT INTO timer (run, key, due_at) SELECT c.id, t.key, t.due_at FROM copied c JOIN timer t ON t.run = c.base
    """,
    """
    INSERT INTO approval (uuid, run, status, owner, shown)
    SELECT substr(md5(a.uuid || c.id), 1, 32), c.id, a.status, a.owner, a.shown
    FROM copied c JOIN approval a ON a.run = c.base
    """,
    "DROP TABLE copied",
)
_FINISH: Final = """
SELECT setval(pg_get_serial_sequence('run', 'id'), (SELECT max(id) FROM run));
INSERT INTO decider (who, status, approval)
SELECT owner, status, id FROM approval ON CONFLICT DO NOTHING;
TRUNCATE run_count;
INSERT INTO run_count (series, day, status, runs)
SELECT series, coalesce(day, ''), status, count(*)
FROM (SELECT series, status, to_char(to_timestamp(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day FROM run) r
GROUP BY GROUPING SETS ((series, day, status), (series, status));
"""
_INDEXES: Final = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid IN ('run'::regclass, 'run_text'::regclass) AND NOT indisunique
"""


async def copy(url: str, times: int, span_s: float) -> None:
    """Have `times` as many runs as there are, each copy of them all `span_s` seconds later than the one before."""
    connection: Any = await asyncpg.connect(url, command_timeout=LONGEST_S)
    await connection.execute(_PREPARE)
    runs = await connection.fetchval("SELECT count(*) FROM run")
    indexes = await connection.fetch(_INDEXES)
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    for number in range(1, times):
        made, *rest = [text for text in _COPIED.split(";\n") if text.strip()]
        values = (str(number), str(runs), repr(span_s))
        for place, value in enumerate(values, 1):
            made = made.replace(f"${place}", value)
        for statement in (made, *rest, *_ROWS):
            await connection.execute(statement)
    await connection.execute(_FINISH)
    for _, definition in indexes:
        await connection.execute(definition)
    await connection.close()
