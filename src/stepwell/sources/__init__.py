"""Data sources that pipelines look records up in: files of rows, SQLite, MongoDB."""
