"""How large a submission may be: bounds on what hostile files can cost in time and memory."""

from __future__ import annotations

METADATA_BYTES = 1 << 20
"""Largest ``submission.json``."""

FILES = 65
"""Most files in a folder: ``submission.json`` and one a task."""

FILE_BYTES = 32 << 20
"""Largest compressed file of responses."""

FOLDER_BYTES = 96 << 20
"""Largest folder."""

UNPACKED_BYTES, FOLDER_UNPACKED_BYTES = 384 << 20, 512 << 20
"""Most bytes that one file of responses unpacks to, and all of a folder together: 990 problems × 16 samples × 2,048
tokens take 200 MB, 64 tasks of 480 exams in two orders × 1,024 tokens 400 MB."""

RESPONSES = 250_000
"""Most responses of all tasks together: 64 tasks of 480 exams in two orders are 61,440."""

LARGEST_RATIO, FREE_BYTES = 250, 1 << 20
"""Unpacked bytes per compressed byte, beyond the first MiB; deflate ends at 1,032, real responses at about 30."""

LINE_BYTES = 8 << 20
"""Longest line of a file of responses: one document with all its samples."""

TEXT_CHARACTERS = 1_000_000
"""Longest response, whatever its budget."""

BUDGET_CHARACTERS, FREE_CHARACTERS = 64, 4096
"""Longest response: so many characters per token of the budget, and so many more. Real text has 3 to 5 a token; the
rest is room for long runs of spaces or dashes, of which one token can be up to :data:`TOKEN_CHARACTERS`."""

METADATA_DEPTH, LINE_DEPTH = 8, 8
"""Deepest nesting of ``submission.json`` and of a line of responses."""

MOST_BRACKETS = 20_000
"""Most lists and objects in ``submission.json`` or a line: 256 samples of three requests take 2,300."""

NUMBER_DIGITS = 18
"""Most digits of a whole number."""

TOKEN_CHARACTERS = 256
"""Longest token, in characters."""

MEAN_TOKEN_CHARACTERS = 16
"""Longest mean token of a text whose tokens were not counted again, beyond one token of :data:`TOKEN_CHARACTERS`; runs
of one character count as eight, since models have tokens for long runs of spaces or dashes."""

UNUSUAL_MEAN, UNUSUAL_OF_ONE, UNUSUAL_FREE = 8, 10, 64
"""Mean characters per token above which readers are told: of a whole task, and of a single response beyond its first
64 characters, runs counted as above."""

LIMIT_VERDICTS, ANSWERS_AT_ONCE = 200, 100
"""Most answers of a submission whose symbolic check may run into its limit, three seconds of processor time each; so
many answers are graded before they are counted again. Of real answers hardly any does."""
