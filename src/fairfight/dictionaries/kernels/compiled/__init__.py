"""The sparse training step, compiled for the processor by Numba."""
