"""Which submissions stand beside each other: corrections, and responses that are somebody else's already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from roi_bench.leaderboard.board import Refused
from roi_bench.leaderboard.graded import GradedSubmission
from roi_bench.leaderboard.submission import Submission


def settle(
    graded: Sequence[GradedSubmission],
) -> tuple[list[GradedSubmission], dict[str, str], list[Refused]]:
    """Return the submissions that stand, the id of the correction of each corrected one, and what is refused.

    A submission whose responses to a task are those of an older one is refused, unless one corrects the other. A
    correction names a submission that stands, of the same model, not younger, and not corrected by another; chains of
    corrections are fine. Where two claim the same, the older one (date, then id) has it.
    """
    submissions = sorted((one.submission for one in graded), key=_age)
    by_id = {submission.id: submission for submission in submissions}
    refused = _copies(submissions, by_id)
    replaced: dict[str, str] = {}
    accepted = {s.id: s for s in submissions if s.replaces is None and s.id not in refused}
    waiting = [s for s in submissions if s.replaces is not None and s.id not in refused]
    while ready := [s for s in waiting if s.replaces in accepted]:
        for submission in ready:
            reason = _why_not(submission, accepted[str(submission.replaces)], replaced)
            if reason is None:
                accepted[submission.id] = submission
                replaced[str(submission.replaces)] = submission.id
            else:
                refused[submission.id] = reason
        waiting = [s for s in waiting if s not in ready]
    for submission in waiting:
        refused[submission.id] = _dangling(submission, by_id, refused)
    return (
        [one for one in graded if one.submission.id in accepted],
        replaced,
        [Refused(name, reason) for name, reason in sorted(refused.items())],
    )


def _age(submission: Submission) -> tuple[str, str]:
    return submission.metadata.date, submission.id


def _why_not(correction: Submission, corrected: Submission, replaced: Mapping[str, str]) -> str | None:
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
    if corrected.id in replaced:
        return (
            f"corrects {corrected.id}, which {replaced[corrected.id]} corrects already; correct that one, the last of "
            "the chain"
        )
    return None


def _dangling(submission: Submission, by_id: Mapping[str, Submission], refused: Mapping[str, str]) -> str:
    target = str(submission.replaces)
    if target in refused:
        return f"corrects {target}, which is refused itself; submit it without `replaces`"
    if target in by_id:
        return f"corrects {target} in a circle of corrections; one of them must correct nothing"
    return f"corrects {target}, which is not among the submissions; name one that is, or leave `replaces` out"


def _copies(submissions: Sequence[Submission], by_id: Mapping[str, Submission]) -> dict[str, str]:
    """Return why submissions that hold responses of older ones are refused, by id."""
    holders: dict[str, list[Submission]] = {}
    refused: dict[str, str] = {}
    for submission in submissions:
        tasks = [task for task in submission.tasks if task.form != "solo"]
        for task in tasks:
            others = holders.get(task.sha256, ())
            if other := next((one for one in others if not _related(submission, one, by_id)), None):
                refused[submission.id] = (
                    f"{task.file} holds the very responses of {other.id}; a submission has responses of its own, or "
                    "names in `replaces` what it corrects"
                )
                break
        else:
            for task in tasks:
                holders.setdefault(task.sha256, []).append(submission)
    return refused


def _related(a: Submission, b: Submission, by_id: Mapping[str, Submission]) -> bool:
    """Return whether one of two submissions corrects the other, at whatever remove."""
    return b.id in _corrected_by(a, by_id) or a.id in _corrected_by(b, by_id)


def _corrected_by(submission: Submission, by_id: Mapping[str, Submission]) -> Iterator[str]:
    """Yield the ids that ``submission`` corrects, one after the other; each once, even in a circle."""
    seen: set[str] = set()
    current: Submission | None = submission
    while current is not None and current.replaces is not None and current.replaces not in seen:
        seen.add(current.replaces)
        yield current.replaces
        current = by_id.get(current.replaces)
