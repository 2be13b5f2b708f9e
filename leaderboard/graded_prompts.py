"""What paraphrase runs of a submission say about its runs: their spread over prompts, and a remark on copies."""

from __future__ import annotations

from collections.abc import Iterable

from roi_bench.analysis.prompt_groups import PromptGroup
from roi_bench.analysis.tables import interval_around
from roi_bench.leaderboard.graded import Number, PromptSpread, Remark
from roi_bench.leaderboard.response_files import responses_sha256


def prompt_spread(group: PromptGroup | None, metric: str) -> PromptSpread | None:
    """Return how far ``metric`` (``score`` or ``regret``) moves with the words of the prompt; None if unknown."""
    noise = None if group is None else group.noise(metric)
    if group is None or noise is None:
        return None
    found = interval_around(group.canonical.estimates()[metric].value, noise.interval)
    return PromptSpread(
        prompts=len(noise.values),
        exams=noise.exams,
        low=noise.low,
        high=noise.high,
        spread=noise.spread,
        prompt_sd=noise.prompt_sd,
        noisy=Number(found.value, found.low, found.high),
    )


def same_words_remarks(groups: Iterable[PromptGroup]) -> list[Remark]:
    """Return a remark for each task in other words whose responses are all those of another prompt.

    A copy would make the spread small; a model that says the same whatever it is asked does so too.
    """
    remarks = []
    for group in groups:
        seen: dict[str, str] = {}
        for run in (group.canonical, *group.paraphrases):
            first = seen.setdefault(responses_sha256(run.task.documents), run.task.name)
            if first != run.task.name:
                remarks.append(Remark("prompts", f"{run.task.name}: all its responses are those of {first}"))
    return remarks
