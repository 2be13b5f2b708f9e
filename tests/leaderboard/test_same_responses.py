"""Copies and reproductions: shares of the same responses between submissions, whatever their names and budgets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.leaderboard.board.same_responses import (
    RunPrints,
    Shared,
    fingerprints,
    prints_of,
    run_prints,
    share_remarks,
    shared_responses,
    unpacked,
)
from roi_bench.leaderboard.checks.rules import submitted_responses
from roi_bench.leaderboard.submission.schema import parse_submission
from roi_bench.records.results import RecordedDocument
from roi_bench.scoring.outcomes import Response
from tests.leaderboard.invented_board import CELLS, MAIN, invented_prints, invented_submission
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered
from tests.support.messages import missing

EXAMS = 40
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("made") / "submissions", [MadeTask(exams=EXAMS)])


def prints(folder: Path) -> list[RunPrints]:
    submission = parse_submission((folder / "submission.json").read_bytes(), folder.name)
    found = []
    for task in submission.tasks:
        documents = submitted_responses(task, (folder / task.file).read_bytes(), task.file).documents
        names = [document.id for document in documents]
        found.append(run_prints(submission, task.name, names, fingerprints(documents, names)))
    return found


def from_another(content: dict[str, Any]) -> None:
    content["metadata"].update(model="evil/best-model", contact="evil@example.org")


def every_text(change: Callable[[str, int], str]) -> Callable[[Rows], None]:
    def alter(rows: Rows) -> None:
        for place, row in enumerate(rows):
            for samples in row["requests"]:
                samples[0]["text"] = change(samples[0]["text"], place)

    return alter


def as_budget_130(content: dict[str, Any]) -> None:
    from_another(content)
    content["tasks"][0].update(budget=130, name="roi_tiny_hard_130")  # not what a check lets pass: only names are read


def as_metacognitive(content: dict[str, Any]) -> None:
    from_another(content)
    content["tasks"][0].update(prompt="metacognitive")


@pytest.mark.parametrize(
    ("alter", "document", "same", "alike"),
    [
        (None, from_another, 1.0, 1.0),
        (every_text(lambda text, place: text + "\n" * (place == 3)), from_another, 1.0, 1.0),
        (every_text(lambda text, _: f"  {text.upper()} !"), from_another, 1.0, 1.0),
        (None, as_budget_130, 1.0, 1.0),
        (None, as_metacognitive, 1.0, 1.0),
        (lambda rows: rows.reverse(), from_another, 1.0, 1.0),
        (every_text(lambda text, place: f"{text} ok" if place % 2 else text), from_another, 0.5, 0.95),
        (every_text(lambda text, place: f"{text} and that is all, number {place}"), from_another, 0.0, 0.75),
    ],
    ids=["exact", "one line feed", "capitals", "other budget", "other prompt", "other order", "a word", "a sentence"],
)
def test_a_copy_is_seen_through(
    original: Path, tmp_path: Path, alter: Any, document: Any, same: float, alike: float
) -> None:
    copy = tampered(original, tmp_path, rows=alter, document=document)
    shared = {one.own.submission.id: one for one in shared_responses([*prints(original), *prints(copy)])}
    assert set(shared) == {original.name, copy.name}
    for one in shared.values():
        assert one.compared == 2 * EXAMS
        assert one.same == same * one.compared
        assert one.alike >= alike * one.compared


def test_a_model_that_answers_by_itself_shares_little(original: Path, tmp_path: Path) -> None:
    """The made models copy the same reference solutions where they solve a problem, which no real ones do."""
    other = made_submission(tmp_path / "other", [MadeTask(exams=EXAMS, skill=(0.1, 0.1, 0.0))], model="made-up/other")
    found = shared_responses([*prints(original), *prints(other)])
    assert all(one.same < 0.2 * one.compared for one in found)


def documents(*texts: str) -> list[RecordedDocument]:
    return [RecordedDocument(f"e{i}", ((Response(text),), (Response(text),))) for i, text in enumerate(texts)]


def test_what_says_too_little_is_not_compared() -> None:
    skips = "### Problem 1\n\\boxed{NA}\n### Problem 2\n\\boxed{NA}\n### Problem 3\n\\boxed{NA}"
    found = unpacked(
        fingerprints(documents(skips, "", f"{skips} since none of them is worth it"), ["e0", "e1", "e2"]), 3
    )
    assert (found == 0).all(axis=(1, 2)).tolist() == [True, True, False]


def test_samples_in_another_order_are_the_same() -> None:
    texts = [
        f"The answer to this question is {k} since {k} is what is left of the {k + 7} apples that he had."
        for k in (1, 2)
    ]
    a, b = (RecordedDocument("e", (tuple(map(Response, given)),) * 2) for given in (texts, texts[::-1]))
    assert fingerprints([a], ["e"]) == fingerprints([b], ["e"])


@given(st.lists(st.text(max_size=300), min_size=1, max_size=5))
def test_fingerprints_come_back_as_they_were_packed(texts: list[str]) -> None:
    names = [f"e{i}" for i in range(len(texts))]
    packed = fingerprints(documents(*texts), names)
    found = unpacked(packed, len(texts))
    assert found.shape == (len(texts), 2, 2)
    assert (found[:, 0] == found[:, 1]).all()
    assert (found < 1 << 24).all()
    assert ((found == 0).all(axis=2) == (found == 0).any(axis=2)).all()


PLAIN = invented_submission(0, exams=100, cells=(MAIN,))


def run_of(
    name: str, responses: str, *, contact: str = "a@example.org", model: str = "A/model", **task: Any
) -> RunPrints:
    metadata = replace(PLAIN.submission.metadata, contact=contact, model=model)
    tasks = tuple(replace(one, **task) for one in PLAIN.submission.tasks)
    submission = replace(PLAIN.submission, id=name, metadata=metadata, tasks=tasks)
    (one,) = prints_of(replace(PLAIN, submission=submission))
    return replace(one, prints=invented_prints(100, responses))


def remark_of(*runs: RunPrints) -> str:
    return share_remarks(shared_responses(runs))[runs[0].submission.id][0].text


def test_the_remark_says_who_shares_and_what_it_means() -> None:
    a, task = run_of("a", "x"), PLAIN.runs[0].task
    same_party = remark_of(a, run_of("b", "x", contact=" A@example.org"))
    assert missing([task, 200, "b", "the same contact"], same_party) == []
    reproduction = remark_of(a, run_of("b", "x", contact="b@example.org"))
    assert missing(["another contact", "`reproduced`"], reproduction) == []
    renamed = remark_of(a, run_of("b", "x", contact="b@example.org", model="B/model"))
    assert missing(["another name", "a copy"], renamed) == []
    sampled = {"decoding": {"temperature": 0.7, "do_sample": True}}
    both_sampled = remark_of(run_of("a", "x", **sampled), run_of("b", "x", contact="b@example.org", **sampled))
    assert missing(["sampled", "one is a copy"], both_sampled) == []


def test_of_many_the_first_are_named() -> None:
    text = remark_of(*(run_of(name, "x") for name in "abcdefg"))
    assert missing([" b ", " c ", " d ", "3 more"], text) == []
    assert " e " not in text


def test_only_runs_of_the_same_exams_and_orders_are_compared() -> None:
    a = run_of("a", "x")
    assert shared_responses([a, replace(run_of("b", "x"), exams=("fresh", 7))]) == []
    medium = replace(run_of("b", "x"), slots=("medium", "easy"))
    assert {(one.same, one.compared) for one in shared_responses([a, medium])} == {(100, 200)}
    assert shared_responses([a, replace(run_of("a", "x"), task="another of the same submission")]) == []


def test_a_few_of_many_are_chance() -> None:
    a = run_of("a", "x")
    halves = unpacked(invented_prints(100, "y"), 100), unpacked(a.prints, 100)

    def with_shared(count: int) -> list[Shared]:
        mixed = np.concatenate([halves[1][:count], halves[0][count:]])
        packed = b"".join(int(one).to_bytes(3, "big") for one in mixed.ravel())
        from base64 import b64encode

        return shared_responses([a, replace(run_of("b", "y"), prints=b64encode(packed).decode())])

    assert with_shared(9) == []
    assert {one.alike for one in with_shared(10)} == {20}


def test_hundreds_of_copies_cost_seconds() -> None:
    runs = [run_of(f"s{k}", "x" if k % 2 else f"own {k}") for k in range(300)]
    begun = time.perf_counter()
    found = shared_responses(runs)
    assert time.perf_counter() - begun < 30
    assert len(found) == 150 * 149


def test_every_cell_of_a_set_is_compared() -> None:
    graded = invented_submission(1, exams=20, cells=CELLS)
    assert [one.task for one in prints_of(graded)] == [run.task for run in graded.runs]
