-- A series is the runs of one owner, of one workflow, under one name: listings and totals go by its number, since an
-- index of three texts would be the largest thing in the file.

CREATE TABLE series (
  id       INTEGER PRIMARY KEY,
  workflow TEXT NOT NULL,
  owner    TEXT NOT NULL,
  name     TEXT NOT NULL             -- of the workflow, when the runs were started
);
CREATE UNIQUE INDEX series_by_workflow ON series (workflow, owner, name);
CREATE INDEX series_by_owner ON series (owner);

ALTER TABLE run ADD COLUMN series INTEGER NOT NULL DEFAULT 0;

INSERT INTO series (workflow, owner, name)
SELECT DISTINCT workflow, owner, coalesce(nullif(shown ->> '$.labels.workflow_name', ''), workflow) FROM run;

UPDATE run SET series = (
  SELECT series.id FROM series
  WHERE series.workflow = run.workflow
    AND series.owner = run.owner
    AND series.name = coalesce(nullif(run.shown ->> '$.labels.workflow_name', ''), run.workflow)
);

DROP INDEX run_by_workflow;
CREATE INDEX run_by_series ON run (series, status, id);

-- Day '' is the sum of all days: totals without days read one row per series and status.
CREATE TABLE series_count (
  series INTEGER NOT NULL,
  day    TEXT NOT NULL,
  status TEXT NOT NULL,
  runs   INTEGER NOT NULL,
  PRIMARY KEY (series, day, status)
) WITHOUT ROWID;

INSERT INTO series_count
SELECT series, strftime('%Y-%m-%d', created_at, 'unixepoch'), status, count(*) FROM run GROUP BY 1, 2, 3
UNION ALL
SELECT series, '', status, count(*) FROM run GROUP BY 1, 3;

DROP TABLE run_count;
ALTER TABLE series_count RENAME TO run_count;
