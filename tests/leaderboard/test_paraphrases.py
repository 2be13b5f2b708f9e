"""Paraphrase runs in submissions: attached to the canonical run, shown as its spread, never rows of their own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from roi_bench.analysis.load import score_runs
from roi_bench.analysis.prompt_noise import group_prompts
from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import RecordError
from roi_bench.leaderboard.board.board import Board
from roi_bench.leaderboard.board.build import load_board
from roi_bench.leaderboard.board.gather import GradingOptions
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.board.graded import GradedSubmission, PromptSpread
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.exporters.tables import rows_of
from roi_bench.leaderboard.site.model_page import model_pages
from roi_bench.leaderboard.site.page import PageOptions, spread_lines
from roi_bench.leaderboard.site.pages import method_page
from roi_bench.leaderboard.site.response_pages import submission_pages
from roi_bench.leaderboard.site.table_page import table_pages
from roi_bench.leaderboard.submission.schema import task_name
from roi_bench.records.results import Sending
from roi_bench.scoring.prompts import prompt_sha256
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered
from tests.support.messages import missing

EXAMS = 30
CANONICAL = MadeTask(exams=EXAMS, skill=(0.9, 0.6, 0.0))
WORDED = tuple(
    replace(CANONICAL, paraphrase=number, skill=skill)
    for number, skill in ((1, (0.6, 0.3, 0.0)), (2, (0.95, 0.9, 0.0)), (3, (0.8, 0.5, 0.0)))
)
RIVAL = replace(CANONICAL, prompt="metacognitive")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    submissions = tmp_path_factory.mktemp("submissions") / "made"
    made_submission(submissions, [CANONICAL], model="made-up/plain")
    return made_submission(submissions, [RIVAL, *WORDED, CANONICAL])


@pytest.fixture(scope="module")
def graded(folder: Path) -> GradedSubmission:
    return grade_submission(check_submission(folder), workers=1)[0]


@pytest.fixture(scope="module")
def board(folder: Path) -> Board:
    return load_board(folder.parent, GradingOptions(drafts=True), workers=1)


def test_they_are_packed_beside_the_canonical_task(folder: Path) -> None:
    document = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    tasks = {task["name"]: task for task in document["tasks"]}
    names = ["roi_tiny_hard_128", *(f"roi_tiny_hard_128_paraphrase_{number}" for number in (1, 2, 3))]
    assert list(tasks) == [*names, "roi_tiny_hard_128_metacognitive"]
    assert [tasks[name]["paraphrase"] for name in names] == [0, 1, 2, 3]
    assert [tasks[name]["prompt_sha256"] for name in names] == [prompt_sha256("direct", n) for n in range(4)]
    assert all(task["deviations"] == [] for task in tasks.values())
    assert all((folder / task["file"]).exists() for task in tasks.values())
    assert set(document["claimed"]) == {"roi_tiny_hard_128", "roi_tiny_hard_128_metacognitive"}
    assert task_name("fresh", 7, "medium", 512, "direct", 2) == "roi_fresh_medium_512_paraphrase_2_seed_7"


def test_they_become_the_spread_of_the_canonical_run_as_in_its_report(folder: Path, graded: GradedSubmission) -> None:
    assert [run.task for run in graded.runs] == ["roi_tiny_hard_128", "roi_tiny_hard_128_metacognitive"]
    run, rival = graded.runs
    assert (rival.score_prompts, rival.regret_prompts) == (None, None)
    results = folder.parent.with_name(f"{folder.parent.name}-results") / "made-up_model"
    (group,) = group_prompts(score_runs([results]))[1]
    noise = group.noise("score")
    assert noise is not None
    assert noise.interval is not None
    assert run.score_prompts == PromptSpread(
        prompts=4,
        exams=EXAMS,
        low=noise.low,
        high=noise.high,
        spread=noise.spread,
        prompt_sd=noise.prompt_sd,
        noisy=Interval(run.numbers["score"].value, *noise.interval),
    )
    assert run.score_prompts.prompt_sd > 0
    assert run.score_prompts.noisy.low < run.numbers["score"].low  # type: ignore[operator]
    assert run.regret_prompts is not None
    assert graded.remarks[1:] == ()


def test_the_number_of_the_run_is_that_of_the_canonical_prompt_alone(board: Board) -> None:
    (table,) = board.cells
    assert len(table.standings) == 3
    plain, worded = (
        next(
            s.run
            for s in table.standings
            if s.entry.graded.submission.metadata.model == model and s.run.prompt == "direct"
        )
        for model in ("made-up/plain", "made-up/model")
    )
    assert worded.numbers["score"].value is not None
    assert plain.score_prompts is None
    assert worded.score_prompts is not None
    assert len(worded.scores) == EXAMS


def test_pages_show_the_spread_and_no_further_row(board: Board) -> None:
    index = next(page for page in table_pages(board) if page.path == "index.html").content.decode()
    assert index.count("<th scope=row>") == 3
    (spread,) = (s.run.score_prompts for s in board.cells[0].standings if s.run.score_prompts)
    shown = " ".join(f"{words} <i>{numbers}</i>" for words, numbers in spread_lines(spread))
    assert f"<small class=p>{shown}</small>" in index
    assert index.count("4 prompts") == 1  # in one row
    assert "paraphrase_" not in index
    pages = {page.path: page.content.decode() for page in model_pages(board)}
    own = next(text for path, text in pages.items() if "made-up-model" in path)
    plain = next(text for path, text in pages.items() if "made-up-plain" in path)
    assert "In other words" in own
    assert "In other words" not in plain
    assert len(re.findall(r"direct, paraphrase \d", own)) == 3  # among the tasks as submitted
    assert own.count('<section class="run"') == 2
    method = method_page(board).content.decode()
    assert all(prompt_sha256("direct", number) in method for number in (1, 2, 3))


def test_exam_pages_and_downloads_know_the_canonical_runs_only(folder: Path, board: Board) -> None:
    graded, runs = grade_submission(check_submission(folder), workers=1)
    pages = {page.path.rpartition("/")[2] for page in submission_pages(graded, runs, PageOptions(exam_pages=1))}
    assert {"tiny_hard_128_direct.html", "tiny_hard_128_metacognitive.html", "data.json"} <= pages
    assert len(pages) == 4  # and the page of one exam
    rows = rows_of(board.cells[0])
    assert [row["prompts"] for row in rows if row["badge"] != "reported"].count(4) == 1
    (row,) = (row for row in rows if row["prompts"] == 4)
    assert row["score_prompts_min"] <= row["score"] <= row["score_prompts_max"]  # type: ignore[operator]
    assert row["score_prompts_low"] < row["score_low"]  # type: ignore[operator]
    assert row["regret_prompts_noise_sd"] >= 0  # type: ignore[operator]
    assert {row["score_prompts_low"] for row in rows if row["prompts"] == 1} == {None}


def test_without_the_canonical_task_they_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"paraphrase.*roi_tiny_hard_128\b") as error:
        made_submission(tmp_path / "made", WORDED[:1])
    assert "\n" not in str(error.value)
    other_budget = replace(CANONICAL, budget=100)
    with pytest.raises(RecordError, match=r"paraphrase.*roi_tiny_hard_128\b"):
        made_submission(tmp_path / "made", [other_budget, WORDED[0]])
    assert not list((tmp_path / "made").glob("*"))


@pytest.mark.parametrize(
    ("worded", "what"),
    [
        (replace(WORDED[0], temperature=0.7), "decoding"),
        (replace(WORDED[0], repeats=2), "repeats"),
        (replace(WORDED[0], sending=Sending("chat template", "1" * 64)), "sent_as"),
    ],
)
def test_what_was_run_otherwise_tells_nothing_about_words(worded: MadeTask, what: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=rf"roi_tiny_hard_128_paraphrase_1.*{what}.*roi_tiny_hard_128\b"):
        made_submission(tmp_path / "made", [CANONICAL, worded])


@pytest.mark.parametrize(
    ("own", "other", "what"),
    [
        (Sending("chat template", "1" * 64), Sending("chat template", "2" * 64), "chat_template_sha256"),
        (Sending("text", None, "1" * 64), Sending("text", None, "2" * 64), "system_instruction_sha256"),
        (Sending("text"), Sending(), "sent_as"),
    ],
)
def test_what_was_sent_otherwise_tells_nothing_about_words(
    own: Sending, other: Sending, what: str, tmp_path: Path
) -> None:
    canonical, worded = replace(CANONICAL, sending=own), replace(WORDED[0], sending=other)
    with pytest.raises(RecordError, match=rf"roi_tiny_hard_128_paraphrase_1.*{what}.*roi_tiny_hard_128\b"):
        made_submission(tmp_path / "made", [canonical, worded])
    folder = made_submission(tmp_path / "alike", [canonical, replace(worded, sending=own)])
    (run,) = grade_submission(check_submission(folder), workers=1)[0].runs
    assert run.score_prompts is not None


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"paraphrase": 2}, "roi_tiny_hard_128_paraphrase_2.*roi_tiny_hard_128_paraphrase_1"),
        ({"paraphrase": 7}, "'direct'.*paraphrase.*1 to 3"),
        ({"paraphrase": 0}, r"roi_tiny_hard_128\b.*roi_tiny_hard_128_paraphrase_1"),
        ({"prompt_sha256": "0" * 64}, "direct.*paraphrase 1.*000000000000"),
        ({"paraphrase": -1}, r"tasks\[1\].paraphrase"),
        ({"paraphrase": "1"}, r"tasks\[1\].paraphrase"),
        ({"sent_as": "a letter"}, r"tasks\[1\].sent_as"),
        ({"chat_template_sha256": "0"}, r"tasks\[1\].chat_template_sha256"),
        ({"system_instruction_sha256": 1}, r"tasks\[1\].system_instruction_sha256"),
        ({"paraphrase": True}, r"tasks\[1\].paraphrase"),
    ],
)
def test_a_task_in_other_words_is_what_it_says(
    folder: Path, changes: dict[str, object], facts: str, tmp_path: Path
) -> None:
    altered = tampered(folder, tmp_path, document=lambda document: document["tasks"][1].update(changes))
    with pytest.raises(RecordError, match=facts):
        check_submission(altered)


def test_a_submission_that_says_nothing_of_paraphrases_asked_the_canonical_prompt(folder: Path, tmp_path: Path) -> None:
    old = tampered(folder, tmp_path, document=lambda document: document["tasks"][0].pop("paraphrase"))
    assert check_submission(old).submission.tasks[0].paraphrase == 0


def test_responses_that_no_words_changed_are_told(tmp_path: Path) -> None:
    made = made_submission(tmp_path / "made", [CANONICAL, replace(CANONICAL, paraphrase=1)])
    graded = grade_submission(check_submission(made), workers=1)[0]
    (remark,) = (remark for remark in graded.remarks if remark.rule == "prompts")
    assert missing(["roi_tiny_hard_128_paraphrase_1", "roi_tiny_hard_128"], remark.text) == []
    assert graded.runs[0].score_prompts is not None
    assert graded.runs[0].score_prompts.spread == 0


def test_lines_of_a_spread() -> None:
    found = PromptSpread(3, 480, 0.904, 1.1, 0.08, 0.05, Interval(1.0, 0.7, 1.3))
    assert spread_lines(found) == (("3 prompts", "0.90 to 1.10"), ("with noise", "0.70 to 1.30"))
    assert spread_lines(replace(found, noisy=Interval(1.0))) == (("3 prompts", "0.90 to 1.10"),)
    assert spread_lines(None) == ()
