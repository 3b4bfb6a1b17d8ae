"""Limits: how large, how deep, how often, how many at once. Each is its own small file."""
