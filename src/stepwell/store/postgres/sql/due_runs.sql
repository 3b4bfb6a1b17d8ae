-- Parked runs with a due timer, along timer_by_due; a live run sees to its own timers.
SELECT DISTINCT run.id, run.uuid
FROM timer JOIN run ON run.id = timer.run
WHERE timer.due_at <= $1 AND NOT run.live
LIMIT $2
