"""Programs: what runs do, one package per kind of workflow."""
