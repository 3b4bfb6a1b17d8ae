-- One seek along delivery_by_endpoint for each endpoint.
WITH RECURSIVE known (endpoint) AS (
  SELECT min(endpoint) FROM delivery
  UNION ALL
  SELECT (SELECT min(endpoint) FROM delivery WHERE endpoint > known.endpoint) FROM known WHERE endpoint IS NOT NULL
)
SELECT endpoint FROM known WHERE endpoint IS NOT NULL
