-- One seek along delivery_by_endpoint for each endpoint and status.
WITH RECURSIVE known (endpoint, status) AS (
  SELECT * FROM (SELECT endpoint, status FROM delivery ORDER BY endpoint, status LIMIT 1)
  UNION ALL
  SELECT following.endpoint, following.status
  FROM known, (SELECT 1)
  JOIN delivery AS following ON following.id = (
    SELECT id FROM delivery WHERE (endpoint, status) > (known.endpoint, known.status)
    ORDER BY endpoint, status LIMIT 1
  )
)
SELECT endpoint, status FROM known WHERE status <> 'pending'
