"""Where runs live: the port that the engine speaks to, and one file per database behind it."""
