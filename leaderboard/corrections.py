"""Which submissions stand beside each other: corrections, and responses that are those of another submission.

Nobody knows here in which order submissions came, and the dates in them are their submitters' words. So nothing is
decided by age between two that claim the same; the review of a change knows what was there before
(:mod:`roi_bench.leaderboard.review`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from roi_bench.leaderboard.board import Refused
from roi_bench.leaderboard.graded import GradedSubmission, Remark
from roi_bench.leaderboard.submission import Submission

NAMED = 3
"""Submissions with the same responses that a remark names; of more it tells the number."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """What corrects what.

    Attributes:
        standing: Submissions that are not refused, corrected ones too, by id.
        replaced: Id of the correction of each corrected one.
        refused: Why others are refused, by id.
    """

    standing: Mapping[str, Submission]
    replaced: Mapping[str, str]
    refused: Mapping[str, str]


def settle(
    graded: Sequence[GradedSubmission],
) -> tuple[list[GradedSubmission], dict[str, str], list[Refused]]:
    """Return the submissions that stand, the id of the correction of each corrected one, and what is refused.

    Submissions with the same responses to a task all stand, each with a remark that names the others, unless one
    corrects the other.
    """
    found = settle_corrections([one.submission for one in graded])
    standing = [one for one in graded if one.submission.id in found.standing]
    return (
        _with_remarks(standing, found.standing),
        dict(found.replaced),
        [Refused(name, reason) for name, reason in sorted(found.refused.items())],
    )


def settle_corrections(submissions: Sequence[Submission]) -> Corrections:
    """Return which of ``submissions`` stand, whatever order they come in.

    A correction names a submission that stands, of the same model and not younger; chains of corrections are fine. Two
    corrections of one submission are both refused: the board's maintainers keep one of them.
    """
    by_id = {submission.id: submission for submission in submissions}
    standing = {name: one for name, one in by_id.items() if one.replaces is None}
    replaced: dict[str, str] = {}
    refused: dict[str, str] = {}
    waiting = [one for one in by_id.values() if one.replaces is not None]
    while ready := [one for one in waiting if one.replaces in standing]:
        waiting = [one for one in waiting if one.replaces not in standing]
        fit: dict[str, list[Submission]] = {}
        for submission in ready:
            corrected = standing[str(submission.replaces)]
            reason = _why_not(submission, corrected)
            if reason is None:
                fit.setdefault(corrected.id, []).append(submission)
            else:
                refused[submission.id] = reason
        for target, corrections in fit.items():
            if len(corrections) == 1:
                standing[corrections[0].id] = corrections[0]
                replaced[target] = corrections[0].id
            else:
                refused |= _rivals(target, sorted(one.id for one in corrections))
    while waiting:
        ends = [one for one in waiting if one.replaces in refused or one.replaces not in by_id] or waiting
        refused |= {one.id: _dangling(one, by_id, refused) for one in ends}
        waiting = [one for one in waiting if one not in ends]
    return Corrections(standing, replaced, refused)


def is_related(a: Submission, b: Submission, by_id: Mapping[str, Submission]) -> bool:
    """Return whether one of two submissions corrects the other, at whatever remove, or both correct the same.

    Args:
        a: A submission.
        b: Another.
        by_id: All submissions between which corrections may lie.
    """
    corrected = {a.id, *_corrected_by(a, by_id)}
    return b.id in corrected or any(name in corrected for name in _corrected_by(b, by_id))


def _why_not(correction: Submission, corrected: Submission) -> str | None:
    """Return why ``correction`` cannot correct a submission that stands; None where it can."""
    if correction.metadata.model != corrected.metadata.model:
        return (
            f"corrects {corrected.id}, which is of another model ({corrected.metadata.model!r}, not "
            f"{correction.metadata.model!r}); a correction has the model's name of what it corrects"
        )
    if correction.metadata.date < corrected.metadata.date:
        return (
            f"corrects {corrected.id}, which is younger ({corrected.metadata.date}, not {correction.metadata.date} or "
            "before); a correction names an older submission"
        )
    return None


def _rivals(target: str, names: Sequence[str]) -> dict[str, str]:
    """Return why each of several corrections of ``target`` is refused, by id."""
    found = {}
    for name in names:
        others = _listed([other for other in names if other != name])
        found[name] = f"corrects {target}, as {others} does; the board's maintainers keep one of them"
    return found


def _dangling(submission: Submission, by_id: Mapping[str, Submission], refused: Mapping[str, str]) -> str:
    target = str(submission.replaces)
    if target in refused:
        return f"corrects {target}, which is refused itself; submit it without `replaces`"
    if target in by_id:
        return f"corrects {target} in a circle of corrections; one of them must correct nothing"
    return f"corrects {target}, which is not among the submissions; name one that is, or leave `replaces` out"


def _with_remarks(standing: Sequence[GradedSubmission], by_id: Mapping[str, Submission]) -> list[GradedSubmission]:
    """Return submissions with a remark for each run whose responses are those of other submissions."""
    holders: dict[str, list[Submission]] = {}
    for one in standing:
        for digest in sorted({run.responses_sha256 for run in one.runs}):
            holders.setdefault(digest, []).append(one.submission)
    found = []
    for one in standing:
        remarks = []
        for run in one.runs:
            same = [other for other in holders[run.responses_sha256] if other.id != one.submission.id]
            strangers = sorted(other.id for other in same if not is_related(one.submission, other, by_id))
            if strangers:
                text = f"{run.task}: its responses to these exams are those of {_listed(strangers)}"
                remarks.append(Remark("responses", text))
        found.append(replace(one, remarks=(*one.remarks, *remarks)) if remarks else one)
    return found


def _listed(names: Sequence[str]) -> str:
    """Return names in a line, the first few of many."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _corrected_by(submission: Submission, by_id: Mapping[str, Submission]) -> Iterator[str]:
    """Yield the ids that ``submission`` corrects, one after the other; each once, even in a circle."""
    seen: set[str] = set()
    current: Submission | None = submission
    while current is not None and current.replaces is not None and current.replaces not in seen:
        seen.add(current.replaces)
        yield current.replaces
        current = by_id.get(current.replaces)
