"""The closed vocabulary of errors.

Every error that a user can cause or meet is one of these; the command line prints its message as one line and exits
with its ``exit_code``. A message says what was wrong (with the value), where, and what to do.

    RoiBenchError
    ├── UsageError        an argument, name or option that is invalid               exit code 2
    ├── DataError         a pool, manifest or generated problem is missing/altered  exit code 3
    ├── ModelError        a model or tokenizer cannot take this exam                exit code 4
    ├── RecordError       a journal, samples or results file is damaged or mixed    exit code 5
    └── DependencyError   an optional package is missing or of a wrong version      exit code 6
"""


class RoiBenchError(Exception):
    """Base class; catch it to catch every expected failure of roi-bench."""

    exit_code = 1


class UsageError(RoiBenchError):
    """An argument, name or option that is invalid."""

    exit_code = 2


class DataError(RoiBenchError):
    """A pool, manifest or generated problem is missing or is not what was frozen."""

    exit_code = 3


class ModelError(RoiBenchError):
    """A model or tokenizer cannot take this exam (context too short, no chat template, …)."""

    exit_code = 4


class RecordError(RoiBenchError):
    """A journal, samples or results file is damaged, incomplete or mixes different runs."""

    exit_code = 5


class DependencyError(RoiBenchError):
    """An optional package is missing or has a wrong version."""

    exit_code = 6


def nearest(name: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return a hint such as ``"did you mean 'hard' or 'easy'?"`` for an unknown ``name``, or the known names."""
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(item) for item in close) + "?"
    return "known: " + ", ".join(sorted(known))


LONGEST_LIST = 200
"""Characters shown of an error's message that is a list."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop, or the error's type if it has none.

    A line that ends in a colon is no sentence; what it begins follows.
    """
    lines = str(error).strip().splitlines()
    if lines and lines[0].rstrip().endswith(":"):
        whole = " ".join(" ".join(lines).split())
        return whole if len(whole) <= LONGEST_LIST else f"{whole[: LONGEST_LIST - 1]}…"
    return lines[0].rstrip(". ") if lines else type(error).__name__
