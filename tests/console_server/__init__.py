"""What the console does on the server: no browser takes part, whose own loop would get in the way."""
