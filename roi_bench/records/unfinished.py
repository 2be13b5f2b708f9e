"""Runs that have no results file yet: what their journals hold, as tasks with the responses that are there so far."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roi_bench.exams.sets import load_exams
from roi_bench.records.journal import Entry, Header, RequestKey, parse_object, read_journal
from roi_bench.records.results import JOURNAL_NAME, RecordedDocument, RecordedTask, RunRecord, Setup
from roi_bench.records.tokenizer import lasting_name
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.outcomes import Response, own_tags
from roi_bench.scoring.prompts import PROMPTS, prompt_sha256

NOT_SAID = "prompt not recorded"
"""Label of runs whose journal does not say which prompt was asked; those of roi-bench 0.1.0 do not."""

_GENERATED = re.compile(r"(fresh|tiny)/(-?\d+)/")
_NOTHING = Response(None)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What responses of one task have in common."""

    form: str
    exam_set: str
    exam_seed: int | None
    budget: int
    prompt: str | None
    paraphrase: int
    decoding: str


@dataclass(slots=True)
class _Responses:
    """The responses of one task by order (empty for problems asked alone), document and sample."""

    by_order: dict[str, dict[str, dict[int, Entry]]] = field(default_factory=dict)
    in_reasoning: bool = False


def unfinished_tasks(path: Path, finished: Iterable[RecordedTask] = ()) -> list[RecordedTask]:
    """Return the tasks in the journals in and below the folder ``path`` that have responses which no result has.

    Responses that have not come yet are missing. A task in easy order stands for exams of which nothing else is there.

    Args:
        path: The folder; a file has none.
        finished: Tasks of finished runs.

    Raises:
        RecordError: A journal is damaged.
    """
    runs: dict[tuple[Path, str], list[Path]] = {}
    for file in sorted(path.rglob("journal-*.jsonl")) if path.is_dir() else ():
        if found := JOURNAL_NAME.match(file.name):
            runs.setdefault((file.parent, found[1]), []).append(file)
    tasks = []
    known = list(finished)
    for (folder, digest), files in runs.items():
        # lm_eval may call the folder of results otherwise than that of the journal beside it
        near = {folder, *folder.parent.iterdir()}
        done = [task for task in known if task.setup.journal == digest and task.results_path.parent in near]
        tasks += [task for task in _tasks(files, digest) if not _is_covered(task, done)]
    return tasks


def _is_covered(task: RecordedTask, finished: Sequence[RecordedTask]) -> bool:
    """Whether results hold every document of ``task``, whatever else was asked of them."""
    wanted = {document.id for document in task.documents}
    mine = task.record
    alike = [one for one in finished if one.record.budget == mine.budget and one.record.exam_set == mine.exam_set]
    if mine.order is None:
        alike = [one for one in alike if not one.record.kind.together]
    elif mine.order != "easy":
        alike = [one for one in alike if (one.record.form, one.record.order) == (mine.form, mine.order)]
    if mine.order != "easy" and NOT_SAID not in mine.deviations:
        asked = mine.prompt, mine.paraphrase
        alike = [one for one in alike if mine.order is None or (one.record.prompt, one.record.paraphrase) == asked]
    return any(wanted <= _documents(one, alone=mine.order is None) for one in alike)


def _documents(task: RecordedTask, *, alone: bool) -> set[str]:
    """Return the ids of a task's documents; ``alone``: of the problems in them."""
    names = {document.id for document in task.documents}
    if not alone or not task.record.kind.has_order:
        return names
    exams = load_exams(task.record.exam_set, seed=task.record.exam_seed or 0)
    return {problem.id for exam in exams if exam.id in names for problem in exam.problems}


def _tasks(files: Sequence[Path], digest: str) -> list[RecordedTask]:
    """Return the tasks of one run, whose processes wrote ``files``."""
    header: Header | None = None
    entries: dict[RequestKey, Entry] = {}
    for file in files:
        found, more = read_journal(file)
        header = header or found
        entries |= {key: entry for key, entry in more.items() if entry.response is not None}
    if header is None or not entries:
        return []
    asked: dict[_Asked, _Responses] = {}
    for entry in entries.values():
        if (what := _asked(entry)) is not None:
            order, document = (str(entry.extra.get(name, "")) for name in ("order", "exam"))
            responses = asked.setdefault(what, _Responses())
            place = responses.by_order.setdefault(order, {}).setdefault(document or str(entry.extra["problem"]), {})
            place.setdefault(entry.key.sample, entry)
            responses.in_reasoning |= entry.extra.get("starts_in_reasoning") is True
    return [task for what, found in asked.items() for task in _of_one(files[0], digest, header, what, found)]


def _asked(entry: Entry) -> _Asked | None:
    """Return what an entry answers; None for a request that is not of this benchmark."""
    extra, generation = entry.extra, parse_object(entry.key.generation.encode("utf-8"))
    name, budget = extra.get("exam") or extra.get("problem"), extra.get("budget") or generation.get("max_gen_toks")
    if not isinstance(name, str) or type(budget) is not int:
        return None
    generated = _GENERATED.match(name)
    exam_set, seed = (generated[1], int(generated[2])) if generated else ("v1", None)
    prompt = extra.get("prompt")
    return _Asked(
        form="exam"
        if "exam" in extra
        else "solo",  # answers to problems alone are shown alone, whatever is made of them
        exam_set=exam_set,
        exam_seed=seed,
        budget=budget,
        prompt=prompt if prompt in PROMPTS else None,
        paraphrase=int(extra.get("paraphrase") or 0),
        decoding=entry.key.generation,
    )


def _of_one(file: Path, digest: str, header: Header, what: _Asked, found: _Responses) -> list[RecordedTask]:
    """Return a task for each order in which exams were asked, each beside easy order; one for problems alone."""
    easy = found.by_order.get("easy", {})
    orders = [order for order in found.by_order if order != "easy"] or ["easy"]
    tasks = []
    for order in orders:
        main = found.by_order[order]
        rows = [main, easy] if KINDS[what.form].has_order else [main]
        repeats = 1 + max(sample for row in rows for responses in row.values() for sample in responses)
        documents = tuple(
            RecordedDocument(
                name,
                tuple(_row(row.get(name, {}), repeats) for row in rows),
                tuple(_costs(row.get(name, {}), repeats) for row in rows) if _is_paid(rows, name) else None,
            )
            for name in sorted(main)
        )
        tasks.append(_task(file, digest, header, what, order, repeats, documents, found.in_reasoning))
    return tasks


def _row(responses: Mapping[int, Entry], repeats: int) -> tuple[Response, ...]:
    known = {sample: Response(entry.response, entry.usage) for sample, entry in responses.items()}
    return tuple(known.get(sample, _NOTHING) for sample in range(repeats))


def _costs(responses: Mapping[int, Entry], repeats: int) -> tuple[float | None, ...]:
    return tuple(responses[sample].extra.get("usd") if sample in responses else None for sample in range(repeats))


def _is_paid(rows: Sequence[Mapping[str, Mapping[int, Entry]]], name: str) -> bool:
    return any(entry.extra.get("usd") is not None for row in rows for entry in row.get(name, {}).values())


def _task(
    file: Path,
    digest: str,
    header: Header,
    what: _Asked,
    order: str,
    repeats: int,
    documents: tuple[RecordedDocument, ...],
    in_reasoning: bool,
) -> RecordedTask:
    arguments = given if isinstance(given := header.run.get("model_args"), dict) else {}
    model = arguments.get("pretrained") or arguments.get("model") or header.run.get("model")
    kind = KINDS[what.form]
    prompt = what.prompt or ("direct" if kind.has_order else "solo")
    if PROMPTS[prompt].kind != what.form:  # answers to problems alone that exams are put together from
        prompt = "solo"
    end = arguments.get("think_end_token")
    record = RunRecord(
        form=what.form,
        exam_set=what.exam_set,
        exam_seed=what.exam_seed,
        order=order if kind.has_order else None,
        budget=what.budget,
        repeats=repeats,
        prompt=prompt,
        prompt_sha256=prompt_sha256(prompt, what.paraphrase),
        tokenizer=lasting_name(_text(arguments.get("tokenizer") or arguments.get("pretrained"))),
        tokenizer_revision=_text(arguments.get("revision")),
        text_is_whole=end is None,
        deviations=() if what.prompt else (NOT_SAID,),
        paraphrase=what.paraphrase,
        starts_in_reasoning=end is not None or in_reasoning,
        think_tags=own_tags(end),
    )
    generation = parse_object(what.decoding.encode("utf-8"))
    decoding = {name: value for name, value in generation.items() if name not in ("max_gen_toks", "until")}
    facts = known if isinstance(known := header.about.get("engine"), dict) else {}
    engine, version, dtype = (str(facts.get(name) or "") for name in ("name", "version", "dtype"))
    setup = Setup(engine, version, dtype, journal=digest)
    name = " ".join(filter(None, (prompt, what.exam_set, record.order, str(what.budget))))
    return RecordedTask(name, file, file, record, str(model), decoding, {}, documents, setup)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
