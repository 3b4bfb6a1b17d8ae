-- The same tables as on SQLite. Integer keys inside, UUIDv7 outside. Texts are compared byte by byte ("C"), as there.

CREATE TABLE series (
  id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow text COLLATE "C" NOT NULL,
  owner    text COLLATE "C" NOT NULL,
  name     text COLLATE "C" NOT NULL        -- of the workflow, when the runs were started
);
CREATE UNIQUE INDEX series_by_workflow ON series (workflow, owner, name);
CREATE INDEX series_by_owner ON series (owner);

CREATE TABLE run (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uuid       text COLLATE "C" NOT NULL UNIQUE,
  seq        integer NOT NULL,
  epoch      integer NOT NULL DEFAULT 0,    -- goes up when the run is handed out, and when it is taken over
  woken      integer NOT NULL DEFAULT 0,    -- the epoch at which it was handed out last: its job is `uuid:woken`
  live       boolean NOT NULL,              -- whether it needs a driver
  attempts   integer NOT NULL,
  created_at double precision NOT NULL,
  ended_at   double precision,
  series     bigint NOT NULL,
  status     text COLLATE "C" NOT NULL,
  owner      text COLLATE "C" NOT NULL,
  workflow   text COLLATE "C" NOT NULL,
  step       text COLLATE "C" NOT NULL,
  start_key  text COLLATE "C",
  definition text COLLATE "C" NOT NULL,
  parent     text COLLATE "C",
  door       text COLLATE "C" NOT NULL,
  reason     text COLLATE "C",
  shown      text COLLATE "C" NOT NULL      -- the rest of the row a listing shows, as JSON
) WITH (fillfactor = 70);                   -- room for the next version on the same page: no index is touched

-- The ways to a page of a listing; see finding.py.
CREATE INDEX run_by_status ON run (status, id);
CREATE INDEX run_by_owner  ON run (owner, status, id);
CREATE INDEX run_by_series ON run (series, status, id);
CREATE INDEX run_by_door   ON run (door, id);
CREATE INDEX run_by_reason ON run (reason, owner, id) WHERE status = 'waiting';
CREATE INDEX run_live      ON run (id) WHERE live;
CREATE INDEX run_by_parent ON run (parent, id) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX run_by_start_key ON run (owner, start_key) WHERE start_key IS NOT NULL;

-- Append-only logs, in commit order (docs/decisions/001-append-log.md). Compressing rows this small costs more.
CREATE TABLE history (
  run    bigint NOT NULL,
  seq    integer NOT NULL,                  -- of the first event in the row
  count  integer NOT NULL,
  events bytea NOT NULL,                    -- JSON array
  hash   bytea,                             -- after the last event, where the chain is on
  PRIMARY KEY (run, seq)
);

CREATE TABLE stream (
  run   bigint NOT NULL,
  n     bigint NOT NULL,                    -- number of the first item in the row
  count integer NOT NULL,
  items bytea NOT NULL,                     -- JSON array
  PRIMARY KEY (run, n)
);

CREATE TABLE snapshot (
  run   bigint PRIMARY KEY,
  seq   integer NOT NULL,
  state bytea NOT NULL
);

CREATE TABLE timer (
  run    bigint NOT NULL,
  key    text COLLATE "C" NOT NULL,
  due_at double precision NOT NULL,
  PRIMARY KEY (run, key)
);
CREATE INDEX timer_by_due ON timer (due_at, run);

CREATE TABLE approval (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uuid   text COLLATE "C" NOT NULL UNIQUE,
  run    bigint NOT NULL,
  status text COLLATE "C" NOT NULL,
  owner  text COLLATE "C" NOT NULL,
  shown  text NOT NULL
);
CREATE INDEX approval_by_status ON approval (status, id);
CREATE INDEX approval_by_run ON approval (run);

-- Who is asked to decide: principal ids and "role:" names; the owner when nobody is named.
CREATE TABLE decider (
  who      text COLLATE "C" NOT NULL,
  status   text COLLATE "C" NOT NULL,
  approval bigint NOT NULL,
  PRIMARY KEY (who, status, approval)
);
CREATE INDEX decider_by_approval ON decider (approval);

-- What runs that have not ended want to hear; '' is any.
CREATE TABLE listener (
  type   text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  run    bigint NOT NULL,
  signal text COLLATE "C" NOT NULL,
  PRIMARY KEY (type, source, run, signal)
);
CREATE INDEX listener_by_run ON listener (run);

CREATE TABLE outbox (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind   text NOT NULL,
  run    text NOT NULL,
  data   text NOT NULL,
  tries  integer NOT NULL DEFAULT 0,
  due_at double precision NOT NULL
);
CREATE INDEX outbox_by_due ON outbox (due_at, id);

-- Webhooks on their way, and for a while those that have ended.
CREATE TABLE delivery (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uuid       text COLLATE "C" NOT NULL UNIQUE,
  endpoint   text COLLATE "C" NOT NULL,
  status     text COLLATE "C" NOT NULL,
  created_at double precision NOT NULL,
  due_at     double precision,              -- of the next try, while pending
  shown      text NOT NULL                  -- the delivery as JSON
);
CREATE INDEX delivery_by_endpoint ON delivery (endpoint, status, id);
CREATE INDEX delivery_by_due      ON delivery (endpoint, due_at) WHERE status = 'pending';

-- Totals change in the transaction that changes a run. Day '' is the sum of all days.
CREATE TABLE run_count (
  series bigint NOT NULL,
  day    text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  runs   bigint NOT NULL,
  PRIMARY KEY (series, day, status)
) WITH (fillfactor = 50);

CREATE TABLE definition (
  digest     text COLLATE "C" PRIMARY KEY,
  name       text COLLATE "C" NOT NULL,
  version    text COLLATE "C" NOT NULL,
  kind       text NOT NULL,
  text       text NOT NULL,
  created_at double precision NOT NULL,
  saved      bigint NOT NULL                -- counts up: the newest of a name is its default
);
CREATE INDEX definition_by_name ON definition (name, saved);

CREATE TABLE record (
  kind    text COLLATE "C" NOT NULL,
  id      text COLLATE "C" NOT NULL,
  owner   text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  due_at  double precision,
  data    text NOT NULL,
  PRIMARY KEY (kind, id)
);
CREATE INDEX record_by_due   ON record (kind, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX record_by_owner ON record (kind, owner, id);

-- Ids and label values in small letters, and their trigrams as numbers: built-in, since not every server has pg_trgm.
CREATE TABLE run_text (
  run   bigint PRIMARY KEY,
  text  text COLLATE "C" NOT NULL,
  grams integer[] NOT NULL
);
CREATE INDEX run_text_by_gram ON run_text USING gin (grams);
