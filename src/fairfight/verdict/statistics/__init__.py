"""Statistics over plain arrays: differences with their errors, words, adjustments. No files, no torch, no chance but what comes in."""
