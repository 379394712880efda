"""Pure mathematics over arrays: no files, no models, no torch."""
