"""Journals of runs without results: what they hold as tasks, and which of it results hold already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import RecordError
from roi_bench.exams.tiny import tiny_exams
from roi_bench.records.journal import Entry, Header, Journal, request_key
from roi_bench.records.results import RecordedDocument, RecordedTask, RunRecord, Setup
from roi_bench.records.unfinished import NOT_SAID, unfinished_tasks
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage
from tests.support.messages import shows

EXAM = tiny_exams(0, 1)[0]
HEADER = Header({"model": "hf", "model_args": {"pretrained": "made-up/m"}}, {"engine": {"name": "hf", "version": "5"}})
GENERATION = {"max_gen_toks": 128, "do_sample": False}
USAGE = Usage(7, "stop", "generated")


def entry(text: str | None = "text", sample: int = 0, **extra: Any) -> Entry:
    key = request_key(str(sorted(extra.items())), GENERATION, sample)
    return Entry(key, text, USAGE if text is not None else None, {"budget": 128, **extra})


def write(folder: Path, *entries: Entry, rank: int = 0, header: Header = HEADER, front: str = "") -> Path:
    path = folder / f"{front}journal-0123abcd.rank{rank}.jsonl"
    with Journal(path, header) as journal:
        journal.append(entries)
    return path


def exam(order: str, name: str = EXAM.id, **more: Any) -> dict[str, Any]:
    return {"exam": name, "order": order, "prompt": "direct", **more}


def test_exams_have_a_task_for_each_order_beside_the_easy_one_and_what_has_not_come_is_missing(tmp_path: Path) -> None:
    write(tmp_path, entry("h", **exam("hard")), entry("e", **exam("easy")), entry("m", **exam("medium")))
    write(tmp_path, entry("h2", **exam("hard", "tiny/0/001")), entry(None, **exam("easy", "tiny/0/001")), rank=1)
    write(tmp_path, entry("old", **exam("hard", "tiny/0/007")), front="superseded-1-")
    medium, hard = sorted(unfinished_tasks(tmp_path), key=lambda task: str(task.record.order), reverse=True)
    assert (hard.record.order, medium.record.order, hard.model) == ("hard", "medium", "made-up/m")
    assert [(d.id, [[r.text for r in request] for request in d.requests]) for d in hard.documents] == [
        (EXAM.id, [["h"], ["e"]]),
        ("tiny/0/001", [["h2"], [None]]),
    ]
    assert hard.documents[0].requests[0][0] == Response("h", USAGE)
    assert (hard.record.budget, hard.record.prompt, hard.record.deviations) == (128, "direct", ())
    assert (hard.setup.journal, hard.setup.engine, hard.setup.version) == ("0123abcd", "hf", "5")


def test_other_prompts_samples_and_costs_are_kept_apart(tmp_path: Path) -> None:
    one, other = exam("hard", usd=0.5), exam("hard", prompt="metacognitive")
    write(tmp_path, entry("a", **one), entry("b", sample=1, **one), entry("c", **other))
    direct, metacognitive = sorted(unfinished_tasks(tmp_path), key=lambda task: task.record.prompt)
    assert [r.text for r in direct.documents[0].requests[0]] == ["a", "b"]
    assert direct.record.repeats == 2
    assert direct.documents[0].usd == ((0.5, 0.5), (None, None))
    assert metacognitive.documents[0].usd is None


def test_easy_order_alone_stands_for_exams_of_which_nothing_else_is_there(tmp_path: Path) -> None:
    write(tmp_path, entry("e", **exam("easy")))
    (task,) = unfinished_tasks(tmp_path)
    assert (task.record.order, task.documents[0].requests) == ("easy", ((Response("e", USAGE),),) * 2)


def test_what_is_no_request_of_ours_and_a_file_instead_of_a_folder_have_no_tasks(tmp_path: Path) -> None:
    path = write(tmp_path, entry("x"), entry("y", exam=7))
    assert unfinished_tasks(tmp_path) == unfinished_tasks(path) == []


def test_a_reasoning_run_is_read_as_one(tmp_path: Path) -> None:
    arguments = {"pretrained": "m", "think_end_token": "</own>"}
    write(tmp_path, entry("h", **exam("hard")), header=Header({"model": "hf", "model_args": arguments}))
    (task,) = unfinished_tasks(tmp_path)
    assert task.record.texts.whole is False
    assert task.record.texts.starts_in_reasoning
    assert task.record.texts.think_tags[0][1] == "</own>"


def test_what_results_hold_is_not_unfinished(tmp_path: Path) -> None:
    def finished(form: str, order: str, names: list[str], folder: Path = tmp_path) -> list[RecordedTask]:
        record = RunRecord(form, "tiny", 0, order, 128, 1, "direct", "", None, None, True, ())
        documents = tuple(RecordedDocument(name, ()) for name in names)
        place, setup = folder / "results_1.json", Setup(journal="0123abcd")
        return [RecordedTask("t", place, place, record, "m", {}, {}, documents, setup)]

    write(tmp_path, entry("h", **exam("hard")), entry("e", **exam("easy")))
    assert unfinished_tasks(tmp_path, finished("exam", "hard", [EXAM.id])) == []
    for other in (finished("exam", "medium", [EXAM.id]), finished("exam", "hard", ["tiny/0/001"])):
        assert [task.record.order for task in unfinished_tasks(tmp_path, other)] == ["hard"]
    (other,) = finished("exam", "hard", [EXAM.id])
    for changed in (
        replace(other, setup=Setup(journal="0123abce")),
        replace(other, record=replace(other.record, prompt="metacognitive")),
    ):
        assert len(unfinished_tasks(tmp_path, [changed])) == 1
    alone = tmp_path / "alone"
    write(alone, *(entry("p", problem=problem.id) for problem in EXAM.problems))
    assert NOT_SAID in unfinished_tasks(alone)[0].record.deviations
    assert unfinished_tasks(alone, finished("knapsack", "hard", [EXAM.id], alone)) == []
    assert len(unfinished_tasks(alone, finished("knapsack", "hard", ["tiny/0/001"], alone))) == 1


def test_a_damaged_journal_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, entry("h", **exam("hard")))
    path.write_bytes(path.read_bytes() + b"{}\n{}\n")
    with pytest.raises(RecordError, match=shows(path, 3)):
        unfinished_tasks(tmp_path)
