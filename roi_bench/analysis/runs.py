"""Scored runs: their names in tables, and which of them can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from roi_bench.exams.exam import ORDERS, Exam, pools_of
from roi_bench.records.regrade import estimate_metrics
from roi_bench.records.results import UNSAID, RecordedTask
from roi_bench.scoring.metrics import Sample, exam_term, metrics_of
from roi_bench.scoring.prompts import PROMPTS
from roi_bench.scoring.statistics import Estimate, ExamTerm

LONGEST_NAME = 48
"""Characters of a model's name that tables show."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What runs must have in common to be compared: the same exams in the same order under the same budget."""

    exam_set: str
    exam_seed: int | None
    order: str
    budget: int

    @property
    def title(self) -> str:
        """Name for people: ``v1 hard 512``, ``fresh/7 hard 512``."""
        return f"{self.set_title} {self.order} {self.budget}"

    @property
    def set_title(self) -> str:
        """Name of the exam set: ``v1``, or ``fresh/7`` with the seed of a generated one other than 0."""
        return f"{self.exam_set}/{self.exam_seed}" if self.exam_seed else self.exam_set

    @property
    def slug(self) -> str:
        """Name for files: ``v1_hard_512``."""
        seed = "" if not self.exam_seed else f"_{self.exam_seed}"
        return f"{self.exam_set}{seed}_{self.order}_{self.budget}"


RunKey = tuple[str, Cell]
"""Key of a run within one report: its name and its cell."""


@dataclass(frozen=True)  # no slots: its estimates are kept beside its fields
class ScoredRun:
    """One task of one run with its scored samples.

    Attributes:
        name: Its name in tables; distinct among the runs of one report.
        task: As recorded.
        exams: The exams of its set, by id.
        scored: Its scored samples by exam id.
    """

    name: str
    task: RecordedTask
    exams: Mapping[str, Exam]
    scored: Mapping[str, tuple[Sample, ...]]

    @property
    def cell(self) -> Cell:
        """Its cell: exams, order and budget."""
        record = self.task.record
        return Cell(record.exam_set, record.exam_seed, str(record.order), record.budget)

    @property
    def key(self) -> RunKey:
        """Its key within a report: name and cell."""
        return self.name, self.cell

    @property
    def clusters(self) -> dict[str, str]:
        """Cluster of each exam."""
        return {name: self.exams[name].cluster for name in self.scored}

    def estimates(self) -> Mapping[str, Estimate]:
        """Return every metric by name; computed once, since tables, pages and checks all ask for them."""
        return self._estimates

    @cached_property
    def _estimates(self) -> Mapping[str, Estimate]:
        return estimate_metrics(self.scored, self.exams)

    def terms(self, metric: str) -> dict[str, ExamTerm]:
        """Return the term of each exam in ``metric``, by exam id; exams without one are left out."""
        (wanted,) = (found for found in metrics_of(pools_of(self.exams)) if found.name == metric)
        terms = {name: exam_term(wanted, samples, self.exams[name].cluster) for name, samples in self.scored.items()}
        return {name: term for name, term in terms.items() if term is not None}


def in_order(tasks: Sequence[RecordedTask]) -> list[RecordedTask]:
    """Return ``tasks`` as tables list them: by exam set, order, budget, model, prompt and paraphrase."""
    prompts = list(PROMPTS)

    def key(task: RecordedTask) -> tuple[str, int, int, int, str, int, int]:
        record = task.record
        prompt = prompts.index(record.prompt) if record.prompt in PROMPTS else len(prompts)
        order = ORDERS.index(record.order) if record.order in ORDERS else len(ORDERS)
        return record.exam_set, record.exam_seed or 0, order, record.budget, task.model, prompt, record.paraphrase

    return sorted(tasks, key=key)


def run_names(tasks: Sequence[RecordedTask]) -> list[str]:
    """Return a name for each run: prompt, and model and deviations where runs differ in them; numbered if need be.

    If runs differ only in how prompts were sent or in what generated the responses (:func:`_setup_labels`), their names
    say so. Names are unique among runs of one cell. :func:`common_name` and :func:`common_setup` give what all runs
    have in common.
    """
    models = _model_names(tasks)
    shared = set(_shared_labels(tasks))
    asked = [
        (task.model, task.record.prompt, *(label for label in _labels(task) if label not in shared)) for task in tasks
    ]
    alike: dict[tuple[str, ...], list[RecordedTask]] = {}
    for task, key in zip(tasks, asked, strict=True):
        alike.setdefault(key, []).append(task)
    found = []
    for task, key in zip(tasks, asked, strict=True):
        model, prompt, *labels = key
        sent = task.record.sending.labels_beside([other.record.sending for other in alike[key]])
        labels = [*(label for label in labels if not any(longer.startswith(f"{label} ") for longer in sent)), *sent]
        labels += _setup_labels(task, alike[key])
        name = prompt + (f" [{', '.join(labels)}]" if labels else "")
        found.append(f"{models[model]} · {name}" if len(models) > 1 else name)
    return _unique(found, [_place(task) for task in tasks])


BY_CELL = ("version", "batch_size")
"""Facts that may differ from cell to cell of one run; they are named only where runs of one cell differ in them."""


def _setup_labels(task: RecordedTask, alike: Sequence[RecordedTask]) -> list[str]:
    """Return labels for what generated a run, as far as it differs among those with which it could be confused.

    Two runs of one cell that differ in nothing else are called after their journals, whose names stand for model,
    arguments, weights and seed.
    """
    beside = [other for other in alike if _place(other) == _place(task)]
    mine = task.setup.facts
    labels = []
    for name, text in mine.items():
        others = beside if name in BY_CELL else alike
        if any(other.setup.facts.get(name) != text for other in others):
            labels.append(text)
    labels = labels[1:] if len(labels) > 1 and labels[1].startswith(f"{labels[0]} ") else labels
    twins = [other for other in beside if other.setup.facts == mine and other.record.sending == task.record.sending]
    journals = [other.setup.journal for other in twins]
    if len(twins) > 1 and all(journals) and len(set(journals)) == len(journals):
        labels.append(f"journal {task.setup.journal}")
    return labels


def _place(task: RecordedTask) -> tuple[object, ...]:
    """Return the cell of a task as far as its record gives it; solo tasks have none."""
    record = task.record
    return record.exam_set, record.exam_seed, record.order, record.budget


def _unique(names: Sequence[str], places: Sequence[tuple[object, ...]]) -> list[str]:
    """Return ``names``, those that occur again at one place numbered."""
    seen: Counter[tuple[object, ...]] = Counter()
    found = []
    for name, place in zip(names, places, strict=True):
        seen[name, place] += 1
        found.append(name if seen[name, place] == 1 else f"{name} #{seen[name, place]}")
    return found


def common_setup(tasks: Sequence[RecordedTask]) -> str:
    """Return what all ``tasks`` have in common of what generated them: ``hf 5.2.0, bfloat16, batch size 16, text``."""
    rows = [
        {**task.setup.facts, **({} if task.record.sending == UNSAID else {"sent": task.record.sending.title})}
        for task in tasks
    ]
    shared = {name: text for name, text in rows[0].items() if all(row.get(name) == text for row in rows)}
    if "version" in shared:
        shared.pop("engine", None)
    if "sent" in shared:
        shared["sent"] = f"prompts sent as {shared['sent']}"
    return ", ".join(shared.values())


def _model_names(tasks: Sequence[RecordedTask]) -> dict[str, str]:
    """Return a name for each model: its short name, or the full one where two short names are equal."""
    models = dict.fromkeys(task.model for task in tasks)
    short = Counter(short_name(model) for model in models)
    return {model: short_name(model) if short[short_name(model)] == 1 else model for model in models}


def common_name(tasks: Sequence[RecordedTask]) -> str | None:
    """Return what all ``tasks`` have in common, such as ``my-model [temperature=0.7]``; None if nothing."""
    models, labels = sorted({task.model for task in tasks}), _shared_labels(tasks)
    parts = [short_name(models[0])] if len(models) == 1 else []
    return " ".join([*parts, *([f"[{', '.join(labels)}]"] if labels else [])]) or None


def short_name(model: str) -> str:
    """Return a model's name as tables show it: the last part of a path, the end of a long name."""
    parts = model.rstrip("/").split("/")
    name = parts[-1] if model.startswith(("/", ".")) or len(parts) > 2 else model
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME + 1 :]}"


def _shared_labels(tasks: Sequence[RecordedTask]) -> list[str]:
    return [label for label in _labels(tasks[0]) if all(label in _labels(task) for task in tasks)] if tasks else []


def _labels(task: RecordedTask) -> list[str]:
    """Return the deviations that the rest of a table does not show."""
    shown = ("budget=", "exam_seed=", "do_sample=True")  # a temperature says that there was sampling
    return [label for label in task.record.deviations if not label.startswith(shown)]
