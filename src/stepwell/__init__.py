"""Stepwell: a durable workflow engine and server."""
