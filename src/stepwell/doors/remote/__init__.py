"""The remote door: what the command line does with the runs of a database, from another machine."""

from stepwell.doors.remote.routes import api

__all__ = ["api"]
