"""Who drives a run now: the port, and one file per way of deciding it."""
