"""Numbers that a submitter claims, held against those that were computed from the responses; never believed."""

from __future__ import annotations

import math
from collections.abc import Iterable

from roi_bench.analysis.runs import ScoredRun
from roi_bench.leaderboard.graded import Remark
from roi_bench.leaderboard.submission import Submission

TOLERANCE = 1e-9
"""Relative difference up to which two sums in floating point are the same."""


def claim_remarks(submission: Submission, runs: Iterable[ScoredRun]) -> tuple[Remark, ...]:
    """Return a remark for each task whose claimed numbers are not what its responses give.

    Args:
        submission: The submission.
        runs: Its exam tasks, scored.
    """
    remarks = []
    for run in runs:
        claimed = submission.claimed.get(run.task.name, {})
        found = {name: estimate.value for name, estimate in run.estimates().items()} if claimed else {}
        wrong = [name for name, value in claimed.items() if name in found and not _same(value, found[name])]
        if wrong:
            shown = ", ".join(f"{name} {_text(claimed[name])} (found {_text(found[name])})" for name in wrong[:3])
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            remarks.append(Remark("claims", f"{run.task.name}: claims {shown}{more}"))
    return tuple(remarks)


def _same(claimed: float | None, found: float | None) -> bool:
    if claimed is None or found is None:
        return claimed is found
    return math.isclose(claimed, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"
