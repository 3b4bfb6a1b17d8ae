"""What runs: a definition compiled into light objects, one per task, shared by all its runs.

A node keeps nothing of a run: all that belongs to one is in the `Scope` that it is given.
"""
