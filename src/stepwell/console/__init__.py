"""The web console: what runs do, live, and every command to them; a user of the engine like any door.

Nothing in here is imported before somebody opens the first page, but for `mount` and what that needs: a server whose
console nobody looks at has neither its memory nor its start-up time.
"""

from stepwell.console.mount import DOOR, Console

__all__ = ["DOOR", "Console"]
