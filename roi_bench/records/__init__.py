"""Recorded runs: journals and results, and recomputing numbers from them."""
