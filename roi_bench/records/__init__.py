"""What is kept of a run: journals and results, and numbers computed from them again."""
