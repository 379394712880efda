"""Tasks: one file each. A task knows its contest and its data, and no method."""
