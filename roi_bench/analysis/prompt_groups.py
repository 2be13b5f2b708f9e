"""Runs in other words: paraphrase runs beside the canonical run that they belong to, and what they say of its numbers.

A paraphrase run is no rival of the canonical one: it is ranked nowhere and shown as a spread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from roi_bench.analysis.prompt_noise import POSSIBLE, PromptNoise, prompt_noise
from roi_bench.analysis.runs import ScoredRun
from roi_bench.analysis.score_tables import TARGET_NOTES, interval_of
from roi_bench.analysis.tables import Cell as TableCell
from roi_bench.analysis.tables import Column, Table, interval_around
from roi_bench.records.journal import canonical_json


@dataclass(frozen=True, slots=True)
class PromptGroup:
    """A run with the canonical prompt, and the same in other words.

    Attributes:
        canonical: The run that stands in every table.
        paraphrases: Its paraphrase runs, by number.
    """

    canonical: ScoredRun
    paraphrases: tuple[ScoredRun, ...]

    def noise(self, metric: str, target: str = "general") -> PromptNoise | None:
        """Return what the paraphrases say about ``metric`` (``score`` or ``regret``); None where they say nothing."""
        others = [run.terms(metric) for run in self.paraphrases]
        return prompt_noise(self.canonical.terms(metric), others, metric=metric, target=target)


def group_prompts(
    runs: Sequence[ScoredRun], tell: Callable[[str], None] | None = None
) -> tuple[list[ScoredRun], list[PromptGroup]]:
    """Return the runs with canonical prompts, and the groups that paraphrase runs make with them.

    A paraphrase run belongs to the canonical run of the same model, exams, decoding, samples and other deviations whose
    prompts were sent in the same way. One without such a run is left out, and so is a second one of the same number;
    ``tell`` is told.
    """
    canonical: dict[str, ScoredRun] = {}
    found: dict[str, dict[int, ScoredRun]] = {}
    for run in runs:
        if not run.task.record.paraphrase:
            canonical.setdefault(_asked(run), run)
    for run in runs:
        number = run.task.record.paraphrase
        if not number:
            continue
        why = ""
        if _asked(run) not in canonical:
            why = _why_alone(run, runs)
        elif number in found.get(_asked(run), {}):
            why = "there is another run of this paraphrase"
        else:
            found.setdefault(_asked(run), {})[number] = run
        if why and tell is not None:
            tell(f"{run.name}, {run.cell.title}: {why}, so it is left out")
    groups = [
        PromptGroup(run, tuple(found[key][number] for number in sorted(found[key])))
        for key, run in canonical.items()
        if key in found
    ]
    return [run for run in runs if not run.task.record.paraphrase], groups


def _why_alone(run: ScoredRun, runs: Sequence[ScoredRun]) -> str:
    """Return why no run with the canonical prompt goes with a paraphrase run."""
    near = [
        other
        for other in runs
        if not other.task.record.paraphrase and _asked(other, sending=False) == _asked(run, sending=False)
    ]
    if not near:
        return "no run with the canonical prompt is beside it"
    ways = "; ".join(dict.fromkeys(other.task.record.sending.title for other in near))
    return (
        f"prompts were sent in another way ({run.task.record.sending.title}) than those of the canonical run ({ways})"
    )


def _asked(run: ScoredRun, *, sending: bool = True) -> str:
    """Return all that a paraphrase run has in common with its canonical one; ``sending``: how it was sent as well."""
    task, record = run.task, run.task.record
    label = f"paraphrase={record.paraphrase}"
    others = [found for found in record.deviations if found != label]
    asked = [task.model, run.cell.slug, record.prompt, record.repeats, task.decoding, others]
    return canonical_json([*asked, *(astuple(record.sending) if sending else ())])


def prompt_noise_table(groups: Sequence[PromptGroup], target: str = "general") -> Table | None:
    """Return how far numbers move with the words of the prompt; None where nothing is known about it."""
    rows: list[tuple[TableCell, ...]] = []
    for group in groups:
        run, estimates = group.canonical, group.canonical.estimates()
        found = {metric: group.noise(metric, target) for metric in POSSIBLE}
        if not any(found.values()):
            continue
        for metric, noise in found.items():
            if noise is None:  # undefined under some of the prompts
                known = (run.name, run.cell.title, metric, len(group.paraphrases) + 1, None)
                rows.append((*known, interval_of(estimates[metric], target), *[None] * 5))
                continue
            wide = interval_around(estimates[metric].value, noise.interval)
            rows.append(
                (
                    *(run.name, run.cell.title, metric, len(noise.values), noise.exams),
                    *(interval_of(estimates[metric], target), wide),
                    *(noise.low, noise.high, noise.spread, noise.prompt_sd),
                )
            )
    if not rows:
        return None
    return Table(
        name="prompt_noise",
        title="Spread over prompts",
        columns=(
            *(Column("run"), Column("exams"), Column("number"), Column("prompts", 0), Column("n", 0)),
            *(Column("value"), Column("with prompt noise"), Column("min"), Column("max")),
            *(Column("SD", 3), Column("prompt SD", 3)),
        ),
        rows=tuple(rows),
        note="The same exams asked with the canonical prompt and with paraphrases of it: least, greatest and standard "
        "deviation of their numbers; prompt SD is what exams and sampling do not explain. With prompt noise: 95 % "
        "interval for a prompt of this kind; it rests on few prompts and is wide; n/a: undefined under one of "
        "the prompts. "
        f"{TARGET_NOTES[target]}",
    )
