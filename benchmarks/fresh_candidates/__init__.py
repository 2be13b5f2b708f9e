"""Candidates for the fresh exams: kinds of problems that need thought, at sizes that a pilot is to judge."""
