-- Runs by what they wait for: counted for all, and listed for one owner in the order of a page.

CREATE INDEX run_by_reason ON run (shown ->> 'reason', owner) WHERE status = 'waiting';
