"""A review as the text of a comment on a pull request; the review itself may have been tampered with.

Where submissions come as pull requests, the job that checks them has no rights, and what it hands on may be made up by
whoever opened the request. So the job that comments reads it like any untrusted file: of bounded size, of one
shape only, and every text of it as code, in which nothing is a link, a mention, an image or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import RecordError
from roi_bench.leaderboard.site.page import interval, number
from roi_bench.leaderboard.submission.untrusted_files import parse_strict, shown

FORMAT, FORMAT_VERSION = "roi-bench-review", 2

LARGEST_BYTES, DEEPEST = 1 << 20, 8

LONGEST_COMMENT = 60_000
"""Characters; GitHub takes 65,536."""

_ROWS = 64
_END = "\n\nCut off here; the rest is in the log of the check.\n"


def read_review(content: bytes, where: str) -> dict[str, Any]:
    """Return the review in an untrusted file.

    Raises:
        RecordError: It is damaged, too large, or of another shape.
    """
    try:
        review = parse_strict(content, largest=LARGEST_BYTES, deepest=DEEPEST)
        _shape(review, {"format": _text, "format_version": _count, "problem": _text_or_none, "submissions": _list})
        if (review["format"], review["format_version"]) != (FORMAT, FORMAT_VERSION):
            raise ValueError("is not a review, or one of another version")
        for one in review["submissions"]:
            kinds = {"folder": _text, "refused": _text_or_none, "model": _text_or_none, "correction": _object_or_none}
            _shape(one, {**kinds, "remarks": _list, "runs": _list})
            if one["correction"] is not None:
                _shape(one["correction"], {"of": _text, "badge": _text, "contact": _text, "changes": _list})
                _each(one["correction"]["changes"], _text)
            _each(one["remarks"], _text)
            for run in one["runs"]:
                _shape(run, {"task": _text, "exams": _count, "score": _three, "regret": _three, "tokens": _number})
    except ValueError as error:
        raise RecordError(f"{where}: {shown(error)}") from None
    found: dict[str, Any] = review
    return found


def comment_text(review: Mapping[str, Any]) -> str:
    """Return the comment, in GitHub's Markdown.

    Args:
        review: As :func:`read_review` returns it.
    """
    text = "\n".join(_lines(review)) + "\n"
    return text if len(text) <= LONGEST_COMMENT else text[: LONGEST_COMMENT - len(_END)].rpartition("\n")[0] + _END


def code(text: str, most: int = 300) -> str:
    """Return untrusted text as code on one line, also fit for a table."""
    return f"`{shown(text, most).replace('`', 'ʼ').replace('|', '¦') or ' '}`"


def _lines(review: Mapping[str, Any]) -> Iterator[str]:
    yield "### Submissions in this pull request"
    if review["problem"] is not None:
        yield f"\n**Refused**: {code(review['problem'])}"
    elif not review["submissions"]:
        yield "\nIt adds no submission."
    for one in review["submissions"]:
        yield from _submission(one)
    yield (
        "\nGraded again from the raw responses, in a job that a pull request can change. The board grades once more "
        "when this is merged, and shows only what it found itself."
    )


def _submission(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n#### {code(one['folder'])}"
    if one["refused"] is not None:
        yield f"\n**Refused**: {code(one['refused'])}"
        return
    yield f"\n{code(one['model'] or '')} passes all checks and earns the badge *regraded*.\n"
    if one["correction"] is not None:
        yield from _correction(one["correction"])
    if one["runs"]:
        yield "| task | exams | score (0–3) | regret | tokens |"
        yield "|---|---:|---:|---:|---:|"
    for run in one["runs"][:_ROWS]:
        score, regret = _with_interval(run["score"]), _with_interval(run["regret"])
        yield f"| {code(run['task'])} | {run['exams']} | {score} | {regret} | {number(run['tokens'], 0)} |"
    for remark in one["remarks"][:_ROWS]:
        yield f"\n- {code(remark)}"


def _correction(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"**It corrects {code(found['of'])}**, whose badge is {code(found['badge'])}. It takes that row only when the "
        f"contact of the old submission, {code(found['contact'])}, has agreed and the maintainers have recorded so "
        "(`roi-bench leaderboard confirm`). Old → new:\n"
    )
    yield from (f"- {code(change)}" for change in found["changes"][:_ROWS])
    yield ""


def _with_interval(values: list[float | None]) -> str:
    value, low, high = values
    span = interval(Interval(value, low, high))
    return f"{number(value)} ({span})" if span else number(value)


def _shape(value: Any, kinds: Mapping[str, Callable[[Any], bool]]) -> None:
    """Check that ``value`` is an object with these keys, of these kinds.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, dict) or set(value) != set(kinds):
        raise ValueError(f"an object must have the keys {', '.join(kinds)}")
    for name, kind in kinds.items():
        if not kind(value[name]):
            raise ValueError(f"{name} is {shown(value[name])}")


def _each(values: list[Any], kind: Callable[[Any], bool]) -> None:
    for value in values:
        if not kind(value):
            raise ValueError(f"a list contains {shown(value)}")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _object_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 10**9


def _number(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) < 10**9)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _three(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_number, value))
