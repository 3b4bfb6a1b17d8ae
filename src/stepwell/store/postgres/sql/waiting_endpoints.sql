-- One seek along delivery_by_due for each endpoint that has pending deliveries.
WITH RECURSIVE waiting (endpoint) AS (
  SELECT min(endpoint) FROM delivery WHERE status = 'pending'
  UNION ALL
  SELECT (SELECT min(endpoint) FROM delivery WHERE status = 'pending' AND endpoint > waiting.endpoint)
  FROM waiting WHERE endpoint IS NOT NULL
)
SELECT endpoint, (SELECT min(due_at) FROM delivery WHERE status = 'pending' AND endpoint = waiting.endpoint)
FROM waiting WHERE endpoint IS NOT NULL
