"""The doors: one package per HTTP API. They translate between its shapes and the engine; rules are in core."""
