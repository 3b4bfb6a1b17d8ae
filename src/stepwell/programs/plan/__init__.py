"""Plans: steps that depend on each other. What templates and definitions compile into, and what runs it."""
