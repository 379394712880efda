"""Models: transformers loaded with their weights checked, and the sites where they are read."""
