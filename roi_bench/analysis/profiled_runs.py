"""Which solo profile serves which runs, and what a reader of the outcome has to know about that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.profile import Profile
from roi_bench.analysis.runs import ScoredRun


@dataclass(frozen=True, slots=True)
class ProfiledRuns:
    """Runs of one model with its solo profile.

    Attributes:
        profile: The profile.
        runs: Runs whose budgets its cap reaches.
    """

    profile: Profile
    runs: tuple[ScoredRun, ...]


def match_profiles(runs: Sequence[ScoredRun], profiles: Sequence[Profile]) -> list[ProfiledRuns]:
    """Return the runs with the profile of their model that serves them best.

    That is the one which covers most of the run's exams, then one whose prompts were sent like the run's, then one
    decoded like it, then the smallest cap that reaches the budget. Runs and profiles that match none are left out.
    """
    matched: dict[int, list[ScoredRun]] = {}
    for run in runs:
        fitting = [index for index, profile in enumerate(profiles) if _fits(run, profile)]
        if fitting:
            matched.setdefault(min(fitting, key=lambda index: _preference(run, profiles[index])), []).append(run)
    return [ProfiledRuns(profiles[index], tuple(members)) for index, members in sorted(matched.items())]


def _preference(run: ScoredRun, profile: Profile) -> tuple[int, bool, bool, int]:
    sent_otherwise = run.task.record.sending != profile.sending
    return -covered_exams(run, profile), sent_otherwise, run.task.decoding != dict(profile.decoding), profile.cap


def covered_exams(run: ScoredRun, profile: Profile) -> int:
    """Return how many exams of ``run`` have all their problems in ``profile``."""
    return sum(profile.covers(run.exams[name]) for name in run.scored)


def _fits(run: ScoredRun, profile: Profile) -> bool:
    return run.task.model == profile.model and why_not_served(run, profile) is None


def why_not_served(run: ScoredRun, profile: Profile) -> str | None:
    """Return why ``profile`` cannot tell about ``run``, or None; whether both are of one model is not looked at."""
    record = run.task.record
    if (record.exam_set, record.exam_seed) != (profile.exam_set, profile.exam_seed):
        return f"it sat {run.cell.set_title}, the profile is of {profile.set_title}"
    if record.budget > profile.cap:
        return f"its budget of {record.budget} is beyond the profile's cap of {profile.cap}"
    if profile.samples < 2:
        return "the profile has one sample of each problem, and cross-fitting needs two"
    return None if covered_exams(run, profile) else "the profile has all problems of none of its exams"


def match_notes(runs: Sequence[ScoredRun], profiles: Sequence[Profile], matched: Sequence[ProfiledRuns]) -> list[str]:
    """Return what readers of an allocation have to know: profiles left out, partial cover, differences."""
    notes = []
    for profile in profiles:
        if any(item.profile is profile for item in matched):
            continue
        own = [run for run in runs if run.task.model == profile.model]
        reasons = [f"{run.name} {run.cell.title}: {why_not_served(run, profile)}" for run in own]
        why = "no run is of this model" if not own else "; ".join(r for r in reasons if not r.endswith(": None"))
        notes.append(
            f"the profile of {profile.model} ({profile.set_title}, cap {profile.cap}) is left out: "
            f"{why or 'another profile serves these runs better'}"
        )
    for item in matched:
        for run in item.runs:
            covered = covered_exams(run, item.profile)
            if covered < len(run.scored):
                notes.append(f"{run.name}, {run.cell.title}: the profile has {covered} of its {len(run.scored)} exams")
        notes += difference_notes(item.profile, item.runs)
    return notes


def difference_notes(profile: Profile, runs: Sequence[ScoredRun]) -> list[str]:
    """Return a note if prompts of runs were sent in another way than the profile's, and one on other decoding."""
    notes = []
    ways = {run.task.record.sending for run in runs} - {profile.sending}
    if ways:
        others = "; ".join(sorted(way.title for way in ways))
        notes.append(
            f"prompts of the profile were sent in another way ({profile.sending.title}) than those of runs ({others}); "
            "SR holds that difference as well"
        )
    decodings = sorted({_shown(run.task.decoding) for run in runs if run.task.decoding != dict(profile.decoding)})
    if decodings:
        notes.append(
            f"the profile was decoded with {_shown(profile.decoding)}, runs with {'; '.join(decodings)}; SR holds that "
            "difference as well"
        )
    return notes


def _shown(decoding: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(decoding.items())) or "the defaults"
