"""The words and the rules of Stepwell, pure: no I/O, no clock, no randomness, no async."""
