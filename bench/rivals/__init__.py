"""The same two shapes on other engines, each a script that runs in an environment of its own (see `bench.peers`)."""
