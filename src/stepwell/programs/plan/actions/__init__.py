"""What steps do, one file per type."""
