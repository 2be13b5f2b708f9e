"""Whether two runs gave the same responses: shares between submissions, and a re-run beside a submission.

Copies and honest re-runs of the same weights look alike: both have the same responses. So nothing is refused for them;
shares are shown, with who submitted what, and people decide.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from roi_bench.analysis.engines.agreement import (
    Engine,
    EngineRun,
    Share,
    check_comparable,
    compare_engines,
    score_difference,
    share,
)
from roi_bench.analysis.load import ScoringOptions, exams_of, read_all
from roi_bench.analysis.paired import PairedDifference
from roi_bench.analysis.reports.tables import Cell, Column, Interval, Table, interval_around
from roi_bench.analysis.runs import ScoredRun
from roi_bench.errors import RecordError, UsageError
from roi_bench.grading.grader import Grader
from roi_bench.leaderboard.board.graded import GradedSubmission, Remark
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.submission.schema import Metadata, Submission, task_name
from roi_bench.leaderboard.submission.untrusted_files import METADATA_FILE
from roi_bench.records.regrade import score_recorded
from roi_bench.records.results import RecordedDocument, RecordedTask
from roi_bench.scoring.kinds import KINDS, GraderLike
from roi_bench.scoring.tokens import TokenCounter

# Fingerprints: what of each response is kept, so that responses of many submissions can be compared.

LEAST_LETTERS = 60
"""A response of fewer letters and digits is left out: that three problems were skipped, many models say in one way."""

WINDOW = 8
"""Words of which the second half of a fingerprint is made."""

BITS = 24
"""Bits of each half of a fingerprint; two of a million different responses share one by chance, of 480 hardly any."""

_WORD = re.compile(r"\w+")

Prints = npt.NDArray[np.uint32]
"""Fingerprints of a run, exams × requests × 2; 0 where a response says too little."""


def fingerprints(documents: Iterable[RecordedDocument], exam_ids: Sequence[str]) -> str:
    """Return the fingerprints of a run's responses as text, six bytes each: exams in the order of ``exam_ids``.

    The first half of a fingerprint is a hash of the response's letters and digits: other line feeds, spaces or
    punctuation give the same. The second is the least hash of any :data:`WINDOW` words in a row: two responses have the
    same one with the probability with which such a window of either is in both (Broder 1997). Of several samples of a
    request the least of each counts.
    """
    by_id = {document.id: document for document in documents}
    found = [
        [_print([r.text for r in samples if isinstance(r.text, str)]) for samples in by_id[exam].requests]
        for exam in exam_ids
    ]
    packed = b"".join(half.to_bytes(BITS // 8, "big") for exam in found for one in exam for half in one)
    return b64encode(packed).decode("ascii")


def _print(texts: Iterable[str]) -> tuple[int, int]:
    found = [one for one in map(_print_of, texts) if one is not None]
    return (min(a for a, _ in found), min(b for _, b in found)) if found else (0, 0)


def _print_of(text: str) -> tuple[int, int] | None:
    words = [word.encode("utf-8", "replace") for word in _WORD.findall(text.casefold())]
    letters = b"".join(words)
    if len(letters) < LEAST_LETTERS:
        return None
    hashes = np.fromiter(map(crc32, words), np.uint64, len(words))
    windows = np.zeros(max(1, len(words) - WINDOW + 1), np.uint64)
    for place in range(min(WINDOW, len(words))):
        windows = windows * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + len(windows)]
    windows = (windows ^ (windows >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    least = int(windows.min() >> np.uint64(64 - BITS))
    return max(1, crc32(letters) & ((1 << BITS) - 1)), max(1, least)


def unpacked(prints: str, exams: int) -> Prints:
    """Return what :func:`fingerprints` packed."""
    digits = np.frombuffer(b64decode(prints), np.uint8).astype(np.uint32).reshape(exams, -1, 2, BITS // 8)
    return digits @ np.array([1 << 16, 1 << 8, 1], np.uint32)


# Shares of the same responses between submissions.

LEAST_SHARE, LEAST_SHARED = 0.1, 5
"""A share of alike responses from which on it is reported, and their least number."""

NAMED = 3
"""How many submissions with the same responses a remark names; of the others it gives the number."""


@dataclass(frozen=True, slots=True)
class RunPrints:
    """The fingerprints of one run.

    Attributes:
        submission: Its submission.
        task: Name of its task.
        exams: Exam set and seed; only runs of the same exams are compared.
        slots: What each request asked: the order, or the problem that was asked alone.
        sampled: Its responses were sampled, so that two runs of the same weights differ.
        exam_ids: Ids of its exams.
        prints: Its fingerprints.
    """

    submission: Submission
    task: str
    exams: tuple[str, int | None]
    slots: tuple[str, ...]
    sampled: bool
    exam_ids: tuple[str, ...]
    prints: str


@dataclass(frozen=True, slots=True)
class Shared:
    """How many responses of a run another run has too.

    Attributes:
        own: The run.
        other: The other.
        same: Responses that are the same but for white space, punctuation and capitals.
        alike: Responses that are the same or have much text in common.
        compared: Responses of the run that say enough to be compared.
    """

    own: RunPrints
    other: RunPrints
    same: int
    alike: int
    compared: int


def prints_of(graded: GradedSubmission) -> list[RunPrints]:
    """Return the fingerprints of the runs of a graded submission."""
    return [
        run_prints(graded.submission, run.task, run.exam_ids, run.fingerprints)
        for run in graded.runs
        if run.fingerprints
    ]


def run_prints(submission: Submission, task: str, exam_ids: Sequence[str], prints: str) -> RunPrints:
    """Return the fingerprints of a task of ``submission`` with what they are compared by."""
    found = next(one for one in submission.tasks if one.name == task)
    together = KINDS[found.form].together
    slots = (str(found.order), "easy") if together else ("alone",) * KINDS[found.form].requests
    named = tuple(slot if together else f"{slot} {place}" for place, slot in enumerate(slots))
    sampled = bool(found.decoding.get("temperature") or found.decoding.get("do_sample"))
    exams = (found.exam_set, found.exam_seed)
    return RunPrints(submission, task, exams, named, sampled, tuple(exam_ids), prints)


def shared_responses(runs: Sequence[RunPrints]) -> list[Shared]:
    """Return the pairs of runs of different submissions that share responses, each both ways.

    Whatever budget, prompt and name they have: what is compared is the response to the same exam in the same order.
    """
    found: list[Shared] = []
    for exams in dict.fromkeys(run.exams for run in runs):
        found += _shared_of([run for run in runs if run.exams == exams])
    return found


AT_ONCE = 96
"""Exams that are compared at once, which bounds the memory that this takes."""


def _shared_of(runs: Sequence[RunPrints]) -> Iterator[Shared]:
    owners = np.unique([run.submission.id for run in runs], return_inverse=True)[1]
    places = {name: place for place, name in enumerate(dict.fromkeys(name for run in runs for name in run.exam_ids))}
    same, alike = counts = Counter[int](), Counter[int]()  # by pair of runs, of which few share anything
    compared = np.zeros(len(runs), np.uint32)
    for slot in dict.fromkeys(slot for run in runs for slot in run.slots):
        members = np.array([i for i, run in enumerate(runs) if slot in run.slots])
        for start in range(0, len(places), AT_ONCE):
            table = np.zeros((len(members), AT_ONCE, 2), np.uint32)
            for row, i in enumerate(members):
                at = np.array([places[name] - start for name in runs[i].exam_ids])
                inside = (at >= 0) & (at < AT_ONCE)
                prints = unpacked(runs[i].prints, len(at))[:, runs[i].slots.index(slot)]
                table[row, at[inside]] = prints[inside]
            compared[members] += np.count_nonzero(table[:, :, 0], axis=1).astype(np.uint32)
            for half in (0, 1):
                for a, b in _equal_pairs(table[:, :, half], owners[members]):
                    pairs = np.minimum(members[a], members[b]) * len(runs) + np.maximum(members[a], members[b])
                    found, times = np.unique(pairs, return_counts=True)
                    counts[half].update(dict(zip(found.tolist(), times.tolist(), strict=True)))
    for pair, count in sorted(alike.items()):
        first, second = divmod(pair, len(runs))
        for i, j in ((first, second), (second, first)):
            if count >= max(LEAST_SHARED, LEAST_SHARE * compared[i]):
                yield Shared(runs[i], runs[j], same[pair], count, int(compared[i]))


def _equal_pairs(
    table: npt.NDArray[np.uint32], owners: npt.NDArray[Any]
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Yield pairs of rows of different owners, once for each column in which they have the same value other than 0."""
    rows, columns = np.nonzero(table)
    keys = columns.astype(np.uint64) << np.uint64(BITS) | table[rows, columns]
    order = np.argsort(keys, kind="stable")
    rows, keys = rows[order], keys[order]
    at = np.arange(len(keys))
    for distance in range(1, len(table)):
        at = at[at + distance < len(keys)]
        at = at[keys[at] == keys[at + distance]]
        if not len(at):
            return
        a, b = rows[at], rows[at + distance]
        apart = owners[a] != owners[b]
        yield a[apart], b[apart]


def is_same_party(a: Metadata, b: Metadata) -> bool:
    """Return whether two submissions name the same contact."""
    return is_same_contact(a.contact, b.contact)


def is_same_contact(a: str, b: str) -> bool:
    """Return whether two texts name one contact: they differ in capitals and in white space around them at most."""
    return a.strip().casefold() == b.strip().casefold()


def share_remarks(shares: Iterable[Shared]) -> dict[str, list[Remark]]:
    """Return the remarks on shared responses by id of the submission: one for each run that shares some."""
    by_run: dict[tuple[str, str], list[Shared]] = {}
    for one in shares:
        by_run.setdefault((one.own.submission.id, one.own.task), []).append(one)
    found: dict[str, list[Remark]] = {}
    for (name, task), others in sorted(by_run.items()):
        best: dict[str, Shared] = {}
        for one in sorted(others, key=lambda one: (-one.alike, -one.same, one.other.submission.id, one.other.task)):
            best.setdefault(one.other.submission.id, one)
        listed = list(best.values())
        texts = [f"{task}: of its {listed[0].compared} responses that say enough to be compared, ", ""]
        texts[1] = "; ".join(_share_text(one) for one in listed[:NAMED])
        more = f"; {len(listed) - NAMED} more submissions share some" if len(listed) > NAMED else ""
        found.setdefault(name, []).append(Remark("responses", "".join(texts) + more))
    return found


def _share_text(one: Shared) -> str:
    other, own = one.other.submission, one.own.submission
    where, like = f"{other.id} ({one.other.task})", one.alike - one.same
    more = f", and {like} are like its" if like else ""
    counts = f"{one.same} are those of {where}{more}" if one.same else f"{like} are like those of {where}"
    if is_same_party(own.metadata, other.metadata):
        return f"{counts}, from the same contact"
    if one.own.sampled and one.other.sampled:
        return f"{counts}, from another contact: both were sampled, so one is a copy of the other"
    if one.own.submission.metadata.model == other.metadata.model:
        return f"{counts}, from another contact: a copy, or evidence for `reproduced`"
    return f"{counts}, from another contact and under another name: a copy, or the same weights run again"


def unrelated(shares: Iterable[Shared], corrected: Mapping[str, set[str]]) -> Iterator[Shared]:
    """Yield the shares between submissions of which neither corrects the other, nor both the same."""
    for one in shares:
        a, b = one.own.submission.id, one.other.submission.id
        of_a, of_b = {a, *corrected.get(a, ())}, {b, *corrected.get(b, ())}
        if not of_a & of_b:
            yield one


# A re-run beside a submission: the evidence for the badge `reproduced`.

TASKS_IN_NOTE = 8
"""Tasks that the note of an entry describes; of the others it gives the number."""

LEAST_AGREED = 0.5
"""Share of the exams that have to come out alike for a greedy re-run to be recorded as a reproduction.

Engines round differently, so that texts part; but outcomes of half of the exams differ only between models."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """One task of a submission that somebody ran again.

    Attributes:
        task: Its name.
        exams: Exams that were run again.
        agreed: Exams of which all problems of all responses came out alike.
        responses: Responses that both have.
        texts: How many of them are the same text.
        lengths: How many of them have the same number of tokens, of those where both are known.
        tokens: Mean tokens of a response in the submission and in the re-run; None where one is unknown.
        score: Score of the re-run minus that of the submission, on these exams; None where it is undefined.
        sampled: Responses were sampled, so that texts and outcomes differ by chance.
    """

    task: str
    exams: int
    agreed: int
    responses: int
    texts: int
    lengths: Share
    tokens: tuple[float, float] | None
    score: PairedDifference | None
    sampled: bool


def compare_rerun(folder: Path, results: Sequence[Path], *, workers: int | None = None) -> list[Rerun]:
    """Return how far a re-run agrees with a submission, task by task, on the exams that the re-run has.

    Args:
        folder: The submission's folder.
        results: Results files or folders of the re-run, or a submission of it.
        workers: Processes for symbolic checks; by default one per core.

    Raises:
        UsageError: They have no task in common, or differ in what was sent or how it was decoded.
        RecordError: The submission would be refused, or a file is damaged.
        DataError: The exams cannot be loaded.
        ModelError: A tokenizer cannot be loaded.
    """
    checked = check_submission(folder)
    submitted = {one.name: one for one in checked.tasks if one.record.kind.together and not one.record.paraphrase}
    pairs = []
    for task, counter in _run_again(results):
        known = submitted.get(_submitted_name(task))
        if known is not None:
            check_comparable(known, task, allow_sampled=True)
            names = {document.id for document in task.documents}
            pairs.append((replace(known, documents=tuple(d for d in known.documents if d.id in names)), task, counter))
    if not pairs:
        raise UsageError(
            f"{', '.join(map(str, results))}: no task of {folder.name} was run again; it has {', '.join(submitted)}"
        )
    with Grader(workers=workers) as grader:
        return [
            _rerun(_engine_run("submission", known, checked.counters[known.name], grader), again)
            for known, task, counter in pairs
            for again in [_engine_run("re-run", task, counter, grader)]
        ]


def _run_again(results: Sequence[Path]) -> Iterator[tuple[RecordedTask, TokenCounter | None]]:
    for path in results:
        if (path / METADATA_FILE).is_file():
            found = check_submission(path)
            yield from ((task, found.counters[task.name]) for task in found.tasks)
        else:
            yield from ((task, ScoringOptions().counter(task)) for task in read_all([path]))


def _submitted_name(task: RecordedTask) -> str:
    r = task.record
    return task_name(r.exam_set, r.exam_seed, r.order, r.budget, r.prompt, r.paraphrase)


def _engine_run(name: str, task: RecordedTask, counter: TokenCounter | None, grader: GraderLike) -> EngineRun:
    exams = exams_of(task)
    run = ScoredRun(name, task, exams, score_recorded(task, exams, grader, counter))
    return EngineRun(name, Engine(name, {}), run, {})


def _rerun(a: EngineRun, b: EngineRun) -> Rerun:
    pair = compare_engines(a, b)
    alike: dict[str, bool] = {}
    for one in pair.responses:
        alike[one.exam] = alike.get(one.exam, True) and one.same_outcomes
    tokens = [(p.a.usage.tokens, p.b.usage.tokens) for p in pair.responses if p.a.usage and p.b.usage]
    return Rerun(
        task=a.run.task.name,
        exams=len(alike),
        agreed=sum(alike.values()),
        responses=len(pair.responses),
        texts=pair.texts.count,
        lengths=share(one.same_tokens for one in pair.responses),
        tokens=(fmean(x for x, _ in tokens), fmean(y for _, y in tokens)) if tokens else None,
        score=score_difference(pair, "score"),
        sampled=bool(a.run.task.decoding.get("temperature") or a.run.task.decoding.get("do_sample")),
    )


def rerun_table(found: Sequence[Rerun]) -> Table:
    """Return a re-run beside its submission as a table, one row a task."""
    columns = (
        *(Column("task"), Column("exams"), Column("same outcomes"), Column("responses"), Column("same texts")),
        *(Column("same lengths"), Column("tokens"), Column("tokens again"), Column("score", 3)),
        *(Column("score again", 3), Column("difference", 3)),
    )
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        tokens = one.tokens or (None, None)
        score: tuple[Cell, ...] = (None, None, Interval(None))
        if one.score is not None:
            difference = interval_around(one.score.difference, one.score.interval)
            score = one.score.value_b, one.score.value_a, difference
        rows.append((one.task, one.exams, one.agreed, one.responses, one.texts, one.lengths.count, *tokens, *score))
    note = (
        "Exams that were run again, and how many of them have the same outcome of every problem in both orders; "
        "responses of both, and the same texts and token counts among them; mean tokens and score on these exams, and "
        "the re-run's score minus the submission's with its 95 % interval. Sampled runs differ by chance: there the "
        "difference counts."
    )
    return Table("re-run", "Re-run beside the submission", columns, tuple(rows), note)


def rerun_record(submission: str, found: Sequence[Rerun], by: str, day: str) -> dict[str, Any]:
    """Return the entry of ``reviews.json`` that a re-run gives.

    Args:
        submission: Id of the submission.
        found: What :func:`compare_rerun` found.
        by: Who ran it again.
        day: When, ``2026-11-24``.

    Raises:
        RecordError: Too few exams of a greedy re-run came out alike.
    """
    exams, agreed = sum(one.exams for one in found), sum(one.agreed for one in found)
    if agreed < LEAST_AGREED * exams and not all(one.sampled for one in found):
        raise RecordError(
            f"{submission}: {agreed} of {exams} exams came out alike, which is no reproduction; nothing was recorded"
        )
    parts = [
        f"{one.task}: {one.agreed} of {one.exams} exams with the same outcomes, {one.texts} of {one.responses} texts "
        f"and {one.lengths.count} of {one.lengths.of} token counts the same"
        for one in found[:TASKS_IN_NOTE]
    ]
    more = [f"and {len(found) - TASKS_IN_NOTE} more tasks"] if len(found) > TASKS_IN_NOTE else []
    return {
        "submission": submission,
        "badge": "reproduced",
        "by": by,
        "date": day,
        "exams": exams,
        "agreed": agreed,
        "note": "; ".join([*parts, *more]),
    }
