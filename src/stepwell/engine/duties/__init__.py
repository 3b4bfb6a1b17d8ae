"""Background duties: one file each, with a `run_once(now)` that says when it wants to run again."""
