-- Four ranges of the key: this type or any, this source or any.
SELECT run.id, run.uuid, listener.signal
FROM listener JOIN run ON run.id = listener.run
WHERE listener.type IN ($1, '') AND listener.source IN ($2, '') AND listener.run > $3
ORDER BY listener.run
LIMIT $4
