"""The same two shapes on other engines, each run in an environment of its own (see `bench.peers`)."""
