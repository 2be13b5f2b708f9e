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

UNPACKED_BYTES = 384 << 20
"""Most bytes that one file of responses unpacks to: 990 problems × 16 samples × 2,048 tokens take a third of it."""

LARGEST_RATIO, FREE_BYTES = 250, 1 << 20
"""Unpacked bytes per compressed byte, beyond the first MiB; deflate ends at 1,032, real responses at about 30."""

LINE_BYTES = 8 << 20
"""Longest line of a file of responses: one document with all its samples."""

TEXT_CHARACTERS = 1_000_000
"""Longest response."""

METADATA_DEPTH, LINE_DEPTH = 8, 8
"""Deepest nesting of ``submission.json`` and of a line of responses."""

MOST_BRACKETS = 20_000
"""Most lists and objects in ``submission.json`` or a line: 256 samples of three requests take 2,300."""

NUMBER_DIGITS = 18
"""Most digits of a whole number."""

TOKEN_CHARACTERS = 256
"""Longest token, in characters."""

MEAN_TOKEN_CHARACTERS, TOKENS_OF_A_MEAN = 16, 64
"""Longest mean token of a text of so many tokens; runs of one character count as eight, since models have tokens for
long runs of spaces or dashes."""

UNUSUAL_MEAN = 8
"""Mean characters per token of a whole task above which readers are told."""
