"""Back ends of the sparse training step."""
