-- Integer keys inside, UUIDv7 outside: random keys cost 3 to 9 times on the hot path.

CREATE TABLE run (
  id          INTEGER PRIMARY KEY,
  uuid        TEXT NOT NULL UNIQUE,
  seq         INTEGER NOT NULL,
  live        INTEGER NOT NULL,
  status      TEXT NOT NULL,
  owner       TEXT NOT NULL,
  workflow    TEXT NOT NULL,
  step        TEXT NOT NULL,
  attempts    INTEGER NOT NULL,
  created_at  REAL NOT NULL,
  ended_at    REAL,
  start_key   TEXT,
  definition  TEXT NOT NULL,
  parent      TEXT,
  shown       TEXT NOT NULL          -- the rest of the row a listing shows, as JSON
);

-- The ways to a page of a listing; see finding.py.
CREATE INDEX run_by_status   ON run (status, id);
CREATE INDEX run_by_owner    ON run (owner, status, id);
CREATE INDEX run_by_workflow ON run (workflow, status, id);
CREATE INDEX run_by_door     ON run (shown ->> 'door', id);
CREATE INDEX run_live        ON run (id) WHERE live = 1;
CREATE INDEX run_by_parent   ON run (parent, id) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX run_by_start_key ON run (owner, start_key) WHERE start_key IS NOT NULL;

-- Append-only logs with a narrow index: rows of a thousand runs lie side by side in commit order,
-- so a group commit writes few pages (docs/decisions/001-append-log.md).
CREATE TABLE history (
  id     INTEGER PRIMARY KEY,
  run    INTEGER NOT NULL,
  seq    INTEGER NOT NULL,           -- of the first event in the row
  count  INTEGER NOT NULL,
  events BLOB NOT NULL,              -- JSON array
  hash   BLOB                        -- after the last event, where the chain is on
);
CREATE UNIQUE INDEX history_by_run ON history (run, seq);

CREATE TABLE stream (
  id    INTEGER PRIMARY KEY,
  run   INTEGER NOT NULL,
  n     INTEGER NOT NULL,            -- number of the first item in the row
  count INTEGER NOT NULL,
  items BLOB NOT NULL                -- JSON array
);
CREATE UNIQUE INDEX stream_by_run ON stream (run, n);

CREATE TABLE snapshot (
  run   INTEGER PRIMARY KEY,
  seq   INTEGER NOT NULL,
  state BLOB NOT NULL
);

CREATE TABLE timer (
  run    INTEGER NOT NULL,
  key    TEXT NOT NULL,
  due_at REAL NOT NULL,
  PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX timer_by_due ON timer (due_at, run);

CREATE TABLE approval (
  id     INTEGER PRIMARY KEY,
  uuid   TEXT NOT NULL UNIQUE,
  run    INTEGER NOT NULL,
  status TEXT NOT NULL,
  owner  TEXT NOT NULL,
  shown  TEXT NOT NULL
);
CREATE INDEX approval_by_status ON approval (status, id);
CREATE INDEX approval_by_run ON approval (run);

-- Who is asked to decide: principal ids and "role:" names; the owner when nobody is named.
CREATE TABLE decider (
  who      TEXT NOT NULL,
  status   TEXT NOT NULL,
  approval INTEGER NOT NULL,
  PRIMARY KEY (who, status, approval)
) WITHOUT ROWID;
CREATE INDEX decider_by_approval ON decider (approval);

-- What runs that have not ended want to hear; '' is any.
CREATE TABLE listener (
  type   TEXT NOT NULL,
  source TEXT NOT NULL,
  run    INTEGER NOT NULL,
  signal TEXT NOT NULL,
  PRIMARY KEY (type, source, run, signal)
) WITHOUT ROWID;
CREATE INDEX listener_by_run ON listener (run);

CREATE TABLE outbox (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  kind   TEXT NOT NULL,
  run    TEXT NOT NULL,
  data   TEXT NOT NULL,
  tries  INTEGER NOT NULL DEFAULT 0,
  due_at REAL NOT NULL
);
CREATE INDEX outbox_by_due ON outbox (due_at, id);

-- Webhooks on their way, and for a while those that have ended.
CREATE TABLE delivery (
  id         INTEGER PRIMARY KEY,
  uuid       TEXT NOT NULL UNIQUE,
  endpoint   TEXT NOT NULL,
  status     TEXT NOT NULL,
  created_at REAL NOT NULL,
  due_at     REAL,                    -- of the next try, while pending
  shown      TEXT NOT NULL            -- the delivery as JSON
);
CREATE INDEX delivery_by_endpoint ON delivery (endpoint, status, id);
CREATE INDEX delivery_by_due      ON delivery (endpoint, due_at) WHERE status = 'pending';

-- Totals change in the transaction that changes a run: counting a million rows takes up to 1.4 s.
CREATE TABLE run_count (
  owner    TEXT NOT NULL,
  workflow TEXT NOT NULL,
  day      TEXT NOT NULL,
  status   TEXT NOT NULL,
  runs     INTEGER NOT NULL,
  PRIMARY KEY (owner, workflow, status, day)  -- in the order in which totals are grouped
) WITHOUT ROWID;

CREATE TABLE definition (
  digest     TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  kind       TEXT NOT NULL,
  text       TEXT NOT NULL,
  created_at REAL NOT NULL,
  saved      INTEGER NOT NULL        -- counts up: the newest of a name is its default
);
CREATE INDEX definition_by_name ON definition (name, saved);

CREATE TABLE record (
  kind    TEXT NOT NULL,
  id      TEXT NOT NULL,
  owner   TEXT NOT NULL,
  version INTEGER NOT NULL,
  due_at  REAL,
  data    TEXT NOT NULL,
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX record_by_due ON record (kind, due_at) WHERE due_at IS NOT NULL;

-- Ids and label values by trigram; workflow names are few and are looked up in run_count.
CREATE VIRTUAL TABLE run_text USING fts5 (
  text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram'
);
