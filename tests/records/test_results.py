"""Damaged, incomplete and mixed results files end in one clear error each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import RecordError, UsageError
from roi_bench.exams.tiny import tiny_exams
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.regrade import (
    compare,
    estimate_metrics,
    estimate_task,
    flat_values,
    score_recorded,
    score_recorded_solo,
)
from roi_bench.records.results import NO_RESPONSE, RecordedTask, find_results, one_run_each, read_results
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.prompts import prompt_sha256
from roi_bench.scoring.tokens import Usage
from tests.support.exam_factory import respond
from tests.support.graders import EqualityGrader
from tests.support.messages import shown_in, shows
from tests.support.results import TASK, sample, write

EXAMS = {exam.id: exam for exam in tiny_exams(0, 4)}


def right(exam_id: str, order: str) -> str:
    return respond([problem.answer for problem in EXAMS[exam_id].ordered(order)])


ONE = sample("tiny/0/000", [right("tiny/0/000", "hard")], [right("tiny/0/000", "easy")])


def test_numbers_come_back_and_differences_are_named(tmp_path: Path) -> None:
    (task,) = read_results(write(tmp_path, [ONE], reading_rule=READING_RULE))
    scored = score_recorded(task, EXAMS, EqualityGrader(), None)
    rows = {row.name: row for row in compare(task, flat_values(estimate_metrics(scored, EXAMS)))}
    assert (rows["score"].recorded, rows["score"].recomputed, rows["score"].equal) == (2.0, 3.0, False)
    assert (rows["score_stderr"].recomputed, rows["score_stderr"].equal) == ("N/A", True)
    assert rows["regret"].recorded is None


def test_usage_beside_a_sample_and_the_mark_for_no_response_are_read(tmp_path: Path) -> None:
    usage = [[{"tokens": 7, "finish_reason": "stop", "source": "generated"}], [None]]
    (task,) = read_results(write(tmp_path, [sample("tiny/0/000", ["text"], [NO_RESPONSE], usage=usage)]))
    assert task.documents[0].requests[0] == (Response("text", Usage(7, "stop", "generated")),)
    assert task.documents[0].requests[1] == (Response(None, None),)


def test_repeats_are_kept_apart(tmp_path: Path) -> None:
    lines = [sample("tiny/0/000", [right("tiny/0/000", "hard"), "no"], [right("tiny/0/000", "easy")] * 2)]
    (task,) = read_results(write(tmp_path, lines, repeats=2))
    scored = score_recorded(task, EXAMS, EqualityGrader(), None)
    assert estimate_metrics(scored, EXAMS)["score"].value == 1.5


@pytest.mark.parametrize(
    ("samples", "changes", "message"),
    [
        ([ONE, ONE], {}, r"samples_.*:2: .*\btiny/0/000\b"),
        ([ONE], {"repeats": 2}, r"\.jsonl:1: .*\b2\b"),
        ([{"doc": {}}], {}, r"\.jsonl:1: .*KeyError: 'exam_id'"),
        ([ONE], {"exam_version": 2}, r"\bversion 2\b.*\btiny\b.*\bversion 1\b"),
        ([ONE], {"sat": 3}, r"\.jsonl: .*\b1\b.*\b3\b"),
        ([ONE], {"budget": None}, "roi_tiny_hard_128.*'budget'"),
        ([ONE], {"repeats": 0}, "roi_tiny_hard_128.*'repeats'"),
        ([ONE], {"repeats": "x"}, "roi_tiny_hard_128.*'repeats'"),
        ([ONE], {"order": "sideways"}, "roi_tiny_hard_128.*'order'"),
        ([ONE], {"form": "oral"}, "roi_tiny_hard_128.*'form'"),
        ([sample("tiny/0/000", ["a"], [None])], {}, r"\.jsonl:1: .*TypeError: .*\bNoneType\b"),
        (
            [
                sample(
                    "tiny/0/000", ["a"], ["b"], usage=[[{"tokens": -5, "finish_reason": "stop", "source": "x"}], [None]]
                )
            ],
            {},
            r"\.jsonl:1: .*ValueError: usage\.tokens\b.* -5\b",
        ),
    ],
)
def test_damaged_records(tmp_path: Path, samples: list[dict[str, Any]], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_results(write(tmp_path, samples, **changes))


def test_a_half_written_line_names_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, [ONE])
    path = tmp_path / f"samples_{TASK}_2026-01-02.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + '{"doc": {"exam_', encoding="utf-8")
    with pytest.raises(RecordError, match=rf"samples_{TASK}_2026-01-02\.jsonl:2: .*JSONDecodeError"):
        read_results(tmp_path / "results_2026-01-02.json")


@pytest.mark.parametrize(
    "line",
    [
        '{"doc": "−"}'.encode()[:-3],  # cut inside a character
        b"[" * 100_000,
        b'{"doc": {"exam_id": "tiny/0/001"}, "resps": [["a"], ["b"]], "usage": [[{"tokens": Infinity}], [null]]}',
        b'{"doc": {"exam_id": "tiny/0/001"}, "resps": "abc"}',
    ],
)
def test_bytes_that_are_no_sample_end_in_one_error(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, [ONE])
    path = tmp_path / f"samples_{TASK}_2026-01-02.jsonl"
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(RecordError, match=rf"samples_{TASK}_2026-01-02\.jsonl:2: .*Error"):
        read_results(tmp_path / "results_2026-01-02.json")


def test_unknown_exam_and_other_prompt_are_refused(tmp_path: Path) -> None:
    (task,) = read_results(write(tmp_path, [sample("tiny/0/999", ["a"], ["b"])]))
    with pytest.raises(RecordError, match=shows("exam", "'tiny/0/999'")):
        score_recorded(task, EXAMS, EqualityGrader(), None)
    (task,) = read_results(write(tmp_path, [ONE], prompt_sha256="0" * 64))
    with pytest.raises(RecordError, match=shows("000000000000", "'direct'")):
        score_recorded(task, EXAMS, EqualityGrader(), None)
    (task,) = read_results(write(tmp_path, [ONE], prompt="drect"))
    with pytest.raises(RecordError, match=shows("prompt", "'drect'", "'exam'", "'direct'")):
        score_recorded(task, EXAMS, EqualityGrader(), None)


KNAPSACK = {"form": "knapsack", "prompt": "greedy_knapsack", "prompt_sha256": prompt_sha256("greedy_knapsack")}
SOLO = {"form": "solo", "order": None, "prompt": "solo", "prompt_sha256": prompt_sha256("solo")}


def usages(*rows: list[int]) -> list[list[dict[str, Any]]]:
    return [[{"tokens": tokens, "finish_reason": "stop", "source": "generated"} for tokens in row] for row in rows]


def test_a_record_without_a_form_is_of_the_first_one(tmp_path: Path) -> None:
    (task,) = read_results(write(tmp_path, [ONE]))
    assert (task.record.form, task.record.order, task.record.deviations) == ("exam", "hard", ())
    (same,) = read_results(write(tmp_path, [ONE], form="exam", deviations=["budget=7"]))
    assert same.documents == task.documents
    assert same.record.deviations == ("budget=7",)


def test_problems_asked_alone_are_read_put_together_and_paid(tmp_path: Path) -> None:
    answers = [problem.answer for problem in EXAMS["tiny/0/001"].problems]  # asked as middle, easy, hard
    texts = [[respond([answer], level=[0]), respond(["NA"], level=[3])] for answer in answers]
    line = {"doc": {"exam_id": "tiny/0/001"}, "resps": texts, "usage": usages([20, 9], [60, 9], [90, 9])}
    (task,) = read_results(write(tmp_path, [line], **KNAPSACK, order="medium", repeats=2))
    assert [len(request) for request in task.documents[0].requests] == [2, 2, 2]
    scored = score_recorded(task, EXAMS, EqualityGrader(), None)
    first, second = scored["tiny/0/001"]
    assert [(p.outcome, p.tokens) for p in first.main.problems] == [("correct", 60), ("correct", 20), ("truncated", 48)]
    assert [(p.outcome, p.tokens) for p in second.main.problems] == [("skipped", 0)] * 3
    found = estimate_task(task, EXAMS, EqualityGrader(), None)
    assert (found["score"].value, found["score_easy"].value, found["p3_tokens"].value) == (1, 1, 24)
    with pytest.raises(UsageError, match=shows(TASK, "exams", "roi_…solo_…")):
        score_recorded_solo(task, EXAMS, EqualityGrader(), None)


def test_a_solo_task_is_read_by_problem(tmp_path: Path) -> None:
    easy, middle, _ = EXAMS["tiny/0/000"].problems
    lines = [
        {"doc": {"problem": easy.id}, "resps": [[respond([easy.answer]), respond(["x"])]], "usage": usages([7, 9])},
        {
            "doc": {"problem": middle.id},
            "resps": [[NO_RESPONSE, respond(["NA"])]],
            "usage": [[None, usages([5])[0][0]]],
        },
    ]
    (task,) = read_results(write(tmp_path, lines, **SOLO, repeats=2))
    assert [document.id for document in task.documents] == [easy.id, middle.id]
    scored = score_recorded_solo(task, EXAMS, EqualityGrader(), None)
    assert [one.problems[0].outcome for one in scored[easy.id]] == ["correct", "wrong"]
    assert [(one.problems[0].tier, one.tokens, one.budget) for one in scored[easy.id]] == [
        ("easy", n, 128) for n in (7, 9)
    ]
    assert [one.problems[0].outcome for one in scored[middle.id]] == ["error", "skipped"]
    found = estimate_task(task, EXAMS, EqualityGrader(), None)
    assert (found["acc"].value, found["skip_rate"].value, found["error"].value) == (0.25, 0.5, 0.25)
    assert found["tokens"].value == (8 + 5) / 2
    with pytest.raises(UsageError, match=shows(TASK, "exams")):
        score_recorded(task, EXAMS, EqualityGrader(), None)


ALONE = {"doc": {"exam_id": "tiny/0/000"}, "resps": [["a"], ["b"], ["c"]]}
PROBLEM = {"doc": {"problem": "tiny/0/easy/000"}, "resps": [["a"]]}


@pytest.mark.parametrize(
    ("samples", "changes", "message"),
    [
        ([ALONE], {"form": "sack"}, "roi_tiny_hard_128.*'form'"),
        ([ALONE], {**KNAPSACK, "form": 3}, "roi_tiny_hard_128.*'form'"),
        ([ALONE], {**KNAPSACK, "order": None}, "roi_tiny_hard_128.*'form'"),
        ([PROBLEM], {**SOLO, "order": "hard"}, "roi_tiny_hard_128.*'form'"),
        ([PROBLEM], {**SOLO, "deviations": "budget=7"}, "roi_tiny_hard_128.*'deviations'"),
        ([ONE], {"paraphrase": "1"}, "roi_tiny_hard_128.*'paraphrase'"),
        ([ONE], {"paraphrase": -1}, "roi_tiny_hard_128.*'paraphrase'"),
        ([ONE], KNAPSACK, r"\.jsonl:1: .*ValueError: zip\(\)"),
        ([ALONE], SOLO, r"\.jsonl:1: .*KeyError: 'problem'"),
        ([PROBLEM], KNAPSACK, r"\.jsonl:1: .*KeyError: 'exam_id'"),
        ([ALONE], {}, r"\.jsonl:1: .*ValueError: zip\(\)"),
        ([PROBLEM, PROBLEM], SOLO, r"\.jsonl:2: .*\btiny/0/easy/000\b"),
        ([ALONE, ALONE], KNAPSACK, r"\.jsonl:2: .*\btiny/0/000\b"),
        (
            [{**ALONE, "resps": [["a"], ["b"]], "usage": [[None], [None]]}],
            KNAPSACK,
            r"\.jsonl:1: .*\btiny/0/000\b.*\b1\b.*\b3\b",
        ),
        (
            [{**PROBLEM, "resps": [["a"], ["b"]], "usage": [[None], [None]]}],
            SOLO,
            r"\.jsonl:1: .*\btiny/0/easy/000\b.*\b1\b.*\b1\b",
        ),
        ([PROBLEM], {**SOLO, "sat": 1440}, r"\.jsonl: .*\b1\b.*\b1440\b"),
    ],
)
def test_damaged_records_of_the_other_forms(
    tmp_path: Path, samples: list[dict[str, Any]], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecordError, match=message) as error:
        read_results(write(tmp_path, samples, **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("samples", "changes", "facts"),
    [
        ([{**PROBLEM, "doc": {"problem": "tiny/9/easy/000"}}], SOLO, ("problem", "'tiny/9/easy/000'", "'tiny'")),
        ([{**PROBLEM, "doc": {"problem": "tiny/0/000"}}], SOLO, ("problem", "'tiny/0/000'", "'tiny'")),
        ([{**ALONE, "doc": {"exam_id": "tiny/9/000"}}], KNAPSACK, ("exam", "'tiny/9/000'", "'tiny'")),
        ([PROBLEM], {**SOLO, "prompt": "direct"}, ("prompt", "'direct'", "'solo'")),
        ([ALONE], {**KNAPSACK, "prompt": "metacognitive"}, ("prompt", "'metacognitive'", "'knapsack'")),
        ([ONE], {"prompt": "solo"}, ("prompt", "'solo'", "'exam'")),
        ([PROBLEM], {**SOLO, "prompt_sha256": "0" * 64}, ("000000000000…", "'solo'")),
        ([ONE], {"paraphrase": 1}, ("'direct'", "paraphrase 1", prompt_sha256("direct", 1)[:12])),
        ([ONE], {"paraphrase": 9}, ("'direct'", "paraphrase", 1, 3, 9)),
        ([PROBLEM], {**SOLO, "paraphrase": 1}, ("'solo'", "paraphrase", 0, 1)),
    ],
)
def test_what_was_not_asked_by_this_package_is_refused(
    tmp_path: Path, samples: list[dict[str, Any]], changes: dict[str, Any], facts: tuple[object, ...]
) -> None:
    (task,) = read_results(write(tmp_path, samples, **changes))
    with pytest.raises(RecordError, match=shows(*facts)) as error:
        estimate_task(task, EXAMS, EqualityGrader(), None)
    assert "\n" not in str(error.value)


def test_a_paraphrase_is_known_again_and_old_files_asked_the_canonical_text(tmp_path: Path) -> None:
    (old,) = read_results(write(tmp_path, [ONE]))
    assert old.record.paraphrase == 0
    (task,) = read_results(write(tmp_path, [ONE], paraphrase=3, prompt_sha256=prompt_sha256("direct", 3)))
    assert task.record.paraphrase == 3
    assert estimate_task(task, EXAMS, EqualityGrader(), None)["score"].value == 3


def test_missing_files(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(UsageError, match=shows(place, "results_*.json", "--output_path")):
            find_results(place)
    path = write(tmp_path, [ONE])
    (tmp_path / f"samples_{TASK}_2026-01-02.jsonl").unlink()
    with pytest.raises(RecordError, match=shows(path, f"samples_{TASK}_2026-01-02.jsonl", "--log_samples")):
        read_results(path)
    for text in ("[]", "[" * 100_000, '{"configs": []}', '{"configs": {"a": 1}}', '{"configs": null}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RecordError, match=shows(path, "results file")):
            read_results(path)
    path.write_text('{"configs": {"gsm8k": {}}}', encoding="utf-8")
    with pytest.raises(RecordError, match=shows(path, "lm_eval --tasks roi_…")):
        read_results(path)
    path.write_text('{"conf', encoding="utf-8")
    with pytest.raises(RecordError, match=shows(path, "char 1")):
        read_results(path)


# ------------------------------------------------------------------------------------------- one run, several starts
def start(folder: Path, day: int, exams: int, *, text: str = "", journal: str | None = None, **config: Any) -> Path:
    """Write what one start of a run leaves, and return the results file."""
    folder.mkdir(exist_ok=True)
    names = [f"tiny/0/{number:03d}" for number in range(exams)]
    path = write(folder, [sample(name, [f"{text}{name}"], ["b"]) for name in names])
    document = json.loads(path.read_text())
    document["config"] = {"model": "hf", "model_args": {"pretrained": "m"}, **config}
    if journal is not None:
        document["roi_bench"] = {"journal": f"journal-{journal}.rank0.jsonl"}
    dated = folder / f"results_2026-01-{day:02d}T00-00-00.json"
    dated.write_text(json.dumps(document))
    path.unlink()
    (folder / f"samples_{TASK}_2026-01-02.jsonl").rename(folder / f"samples_{TASK}_{dated.stem[8:]}.jsonl")
    return dated


def tasks_in(*paths: Path) -> list[RecordedTask]:
    return [task for path in paths for file in find_results(path) for task in read_results(file)]


@pytest.mark.parametrize("journal", ["0123abcd", None])
def test_a_task_that_was_started_several_times_is_one_run_the_most_complete(
    tmp_path: Path, journal: str | None
) -> None:
    whole = start(tmp_path, 3, 4, journal=journal)
    again = start(tmp_path, 4, 4, journal=journal)
    small = start(tmp_path, 5, 2, journal=journal)
    other = start(tmp_path / "elsewhere", 6, 2, journal=journal)
    kept, lines = one_run_each(tasks_in(tmp_path))
    assert [task.results_path for task in kept] == [other, again]  # of equals the latest; another folder is another run
    assert len(lines) == 1
    assert shown_in(lines[0], TASK, again.name, whole.name, small.name, 3, "4 exams")


def test_runs_that_differ_are_kept(tmp_path: Path) -> None:
    def kept(name: str, first: dict[str, Any], second: dict[str, Any]) -> int:
        start(tmp_path / name, 3, 2, **first)
        start(tmp_path / name, 4, 2, **second)
        found, lines = one_run_each(tasks_in(tmp_path / name))
        assert len(lines) == 2 - len(found)
        return len(found)

    assert kept("other weights", {"journal": "0123abcd"}, {"journal": "0123abce"}) == 2
    assert kept("other responses", {}, {"text": "now "}) == 2  # weights may have changed where no journal says so
    assert kept("other command", {}, {"torch_seed": 5}) == 2
    assert kept("begun again", {"journal": "0123abcd"}, {"journal": "0123abcd", "text": "now "}) == 1


def test_lost_responses_make_a_run_less_complete(tmp_path: Path) -> None:
    whole = start(tmp_path, 3, 1, journal="0123abcd")
    path = start(tmp_path, 4, 1, journal="0123abcd")
    samples = path.with_name(f"samples_{TASK}_{path.stem[8:]}.jsonl")
    samples.write_text(json.dumps(sample("tiny/0/000", [NO_RESPONSE], ["b"])) + "\n")
    assert [task.results_path for task in one_run_each(tasks_in(tmp_path))[0]] == [whole]


def test_results_named_by_a_file_are_found_in_its_folder_and_by_its_name(tmp_path: Path) -> None:
    path = start(tmp_path, 3, 1)
    named = path.rename(tmp_path / f"res{path.name.removeprefix('results')}")
    (tmp_path / "config.json").write_text("{}")
    assert find_results(tmp_path) == [named]
    assert find_results(tmp_path / "res.json") == [named]
    assert [task.name for task in read_results(named)] == [TASK]
    with pytest.raises(UsageError, match=shows(tmp_path / "other.json")):
        find_results(tmp_path / "other.json")


def test_what_generated_a_run_is_read(tmp_path: Path) -> None:
    plain = start(tmp_path, 3, 1, model_dtype="torch.bfloat16", batch_size="auto")
    assert read_results(plain)[0].setup.facts == {"engine": "hf", "dtype": "bfloat16", "batch_size": "batch size auto"}
    document = json.loads(plain.read_text())
    facts = {"name": "vllm", "version": "0.9", "dtype": "float16", "quantization": None, "batch_size": 64}
    document["roi_bench"] = {"engine": facts, "journal": "journal-0123abcd.rank0.jsonl"}
    plain.write_text(json.dumps(document))
    setup = read_results(plain)[0].setup
    assert (setup.journal, setup.quantization, setup.facts["version"]) == ("0123abcd", "none", "vllm 0.9")
