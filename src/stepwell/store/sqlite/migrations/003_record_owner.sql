-- Templates, definitions and the like are listed by owner.
CREATE INDEX record_by_owner ON record (kind, owner, id);
