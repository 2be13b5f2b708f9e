"""Grading: whether an answer is right. Pure, except for the processes of symbolic checks."""
