-- Sessions of this user's nodes that have written in their transaction, and wait for their process in the middle of a
-- statement. Those that it only has to commit are idle, and end by idle_in_transaction_session_timeout.
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'stepwell%'
  AND backend_xid IS NOT NULL AND state = 'active' AND wait_event_type = 'Client'
  AND state_change < clock_timestamp() - current_setting('idle_in_transaction_session_timeout')::interval
