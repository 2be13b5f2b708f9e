"""Exams: problems, pools, the frozen set, generated sets."""
