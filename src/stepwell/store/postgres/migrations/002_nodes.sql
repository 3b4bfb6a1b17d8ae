-- The node that created a run and drives it without a job of its own (docs/decisions): its job is `node:<number>`.
ALTER TABLE run ADD COLUMN node bigint;
