"""What a submission within the schema could do to pages that others share: refused, cut as it is drawn, or told."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import RecordError
from roi_bench.leaderboard.board.board import BUDGETS, BoardSettings, read_settings
from roi_bench.leaderboard.board.build import make_board
from roi_bench.leaderboard.board.grade import decoding_text, grade_submission, shown_labels
from roi_bench.leaderboard.checks.rules import check_submission
from roi_bench.leaderboard.review import is_accepted, review_change
from roi_bench.leaderboard.submission.untrusted_files import skeleton
from tests.leaderboard.invented_board import CELLS, MAIN, invented_submission
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered
from tests.support.git_repository import commit_all, git
from tests.support.messages import missing

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("draft") / "submissions", [MadeTask(exams=3)], model="roi/tiny-rarl")


def task(**changes: Any) -> Change:
    return lambda document: document["tasks"][0].update(changes)


def about(**changes: Any) -> Change:
    return lambda document: document["metadata"].update(changes)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (task(deviations=["maintainer-run"]), "'maintainer-run'.*no label"),
        (task(deviations=["reproduced ✔ verified by the board"]), "no label"),
        (task(deviations=["x" * 600]), "no label"),
        (task(deviations=[f"label {k}" for k in range(40)]), "'label 0'"),
        (task(deviations=["omit=temperature verified by the board"]), "no label"),
        (task(deviations=["until=['maintainer-run, verified']"]), "no label"),
        (about(model="roi/tiny\u200d-rarl"), r"'?model'?.*U\+200D"),
        (about(model="roi/tiny\u3164-rarl"), r"U\+3164"),
        (about(model="\u3164\u3164\u3164"), r"U\+3164"),
        (about(model="roi/tiny-rarl\ufe0f"), r"U\+FE0F"),
        (about(model="roi/tiny-rarl\u2800"), r"U\+2800"),
        (about(model="roi/tiny\u00ad-rarl"), r"U\+00AD"),
        (about(model="roi/tiny\U000e0041-rarl"), r"U\+E0041"),
        (about(model="r\u043ei/tiny-rarl"), "model.*scripts.*'r\u043ei'"),
        (about(organisation="\u041epenAI"), "organisation.*scripts"),
        (about(provider="op\u0435nai"), "provider.*scripts"),
        (about(model="ti" + "n" + "\u0316\u0317\u0318\u0319" * 20 + "y"), "model.*3 marks"),
        (about(notes="a\n" * 1990), "notes.*40 lines"),
        (about(contamination="a\n\n" * 600), "contamination.*40 lines"),
    ],
)
def test_what_would_cover_or_imitate_something_is_refused(
    draft: Path, tmp_path: Path, change: Change, facts: str
) -> None:
    with pytest.raises(RecordError, match=facts):
        check_submission(tampered(draft, tmp_path, document=change))


@pytest.mark.parametrize("usd", [1e-320, 1e6])
def test_absurd_costs_are_refused(draft: Path, tmp_path: Path, usd: float) -> None:
    def cost(rows: list[dict[str, Any]]) -> None:
        rows[1]["requests"][0][0]["usd"] = usd

    with pytest.raises(RecordError, match=r"roi_tiny_hard_128\.jsonl\.gz:2: usd"):
        check_submission(tampered(draft, tmp_path, rows=cost))


@pytest.mark.parametrize(
    "change",
    [
        task(deviations=["system_instruction", "omit=seed+stop", "decoding=model", r"until=['\n\n']"]),
        about(model="通义/千问-2.5-7B", organisation="阿里云"),
        about(model="Яндекс/YandexGPT-5", organisation="Яндекс"),
        about(model="β-VAE", provider="Société Générale"),
        about(model="Việt/Ngữ-7B", notes="\n".join("ab" * 19)),
    ],
)
def test_what_honest_ones_say_passes(draft: Path, tmp_path: Path, change: Change) -> None:
    check_submission(tampered(draft, tmp_path, document=change))


def test_long_and_strange_arguments_are_cut_where_they_are_drawn(draft: Path, tmp_path: Path) -> None:
    hostile = {"temperature": 0.5, "top_p": "W" * 500, "badge": "maintainer-run", **{f"a{k}": 1 for k in range(30)}}
    labels = [f"{name}={value}" for name, value in hostile.items()]
    folder = tampered(draft, tmp_path, document=task(decoding=hostile, deviations=labels))
    (run,) = grade_submission(check_submission(folder), workers=1)[0].runs
    drawn = "; ".join([run.decoding, *run.deviations])
    assert "maintainer-run" not in drawn
    assert missing(["temperature=0.5", "31 other arguments", "31 other labels"], drawn) == []
    assert len(drawn) < 300


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=600) | st.floats() | st.booleans(), max_size=40))
def test_whatever_the_arguments_are_the_line_stays_short(decoding: dict[str, Any]) -> None:
    assert len(decoding_text({"temperature": 1, "top_p": 0.9, **decoding})) < 700
    assert len(shown_labels([f"{name}={value}" for name, value in decoding.items()])) < 14


def of_budgets(*budgets: int) -> Any:
    graded = invented_submission(0, exams=10, cells=(MAIN,))
    (one,) = graded.submission.tasks
    runs = tuple(replace(graded.runs[0], task=f"t{budget}", cell=replace(MAIN, budget=budget)) for budget in budgets)
    tasks = tuple(replace(one, name=f"t{budget}", budget=budget) for budget in budgets)
    return replace(graded, runs=runs, submission=replace(graded.submission, tasks=tasks))


def test_a_board_has_tables_of_its_own_budgets_only() -> None:
    usual, many = of_budgets(512), of_budgets(*range(200, 264))
    many = replace(many, submission=replace(many.submission, id="many-0123456789ab"))
    board = make_board([usual, many], [], [], BoardSettings(), drafts=False)
    assert [table.cell.budget for table in board.cells] == [512]
    (refused,) = board.refused
    assert refused.folder == "many-0123456789ab"
    assert missing(["t200", "128, 256, 512, 1024", "board.json"], refused.reason) == []
    other = make_board([of_budgets(130)], [], [], BoardSettings(budgets=(130,)), drafts=False)
    assert [table.cell.budget for table in other.cells] == [130]


def test_a_change_with_another_budget_is_refused(tmp_path: Path) -> None:
    folder = made_submission(tmp_path / "made", [MadeTask(budget=130)])
    repository = tmp_path / "repository"
    (repository / "board").mkdir(parents=True)
    git(repository, "init", "--quiet", "--initial-branch", "main")
    for budgets, accepted in (([128], False), ([128, 130], True)):
        (repository / "board" / "board.json").write_text(json.dumps({"budgets": budgets}))
        commit_all(repository)
        git(repository, "checkout", "--quiet", "-B", "change", "main")
        folder.rename(repository / "board" / folder.name)
        commit_all(repository)
        review = review_change(repository, "board", "main", "change", workers=1)
        assert is_accepted(review) == accepted
        if not accepted:
            assert missing(["roi_tiny_hard_130", "130", "128"], review["submissions"][0]["refused"]) == []
        (repository / "board" / folder.name).rename(folder)
        git(repository, "checkout", "--quiet", "--force", "main")


@pytest.mark.parametrize(
    "budgets", [[], [0], [True], ["512"], [512, 512], list(range(1, 18)), 512, [512.0], [2_000_000]]
)
def test_budgets_that_are_none_are_told(tmp_path: Path, budgets: Any) -> None:
    (tmp_path / "board.json").write_text(json.dumps({"budgets": budgets}))
    with pytest.raises(RecordError, match=r"board\.json.*budgets"):
        read_settings(tmp_path)


def test_budgets_are_read(tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text(json.dumps({"budgets": [1024, 64]}))
    assert read_settings(tmp_path).budgets == (64, 1024)
    assert BoardSettings().budgets == BUDGETS


def test_budgets_of_the_shipped_tasks_are_admitted() -> None:
    from roi_bench.machine import data_folder

    names = [path.stem for folder in ("tasks", "baselines/tasks") for path in data_folder(folder).glob("roi_*_*.yaml")]
    shipped = {int(part) for name in names for part in name.split("_") if part.isdigit()}
    assert shipped == set(BUDGETS)


def test_a_typo_in_board_json_is_named(tmp_path: Path) -> None:
    graded = [invented_submission(number, exams=10, cells=CELLS) for number in range(2)]
    board = make_board(graded, [], [], BoardSettings(main_cell="tiny_hard_999"), drafts=False)
    (note,) = board.notes
    assert missing(["board.json", "'tiny_hard_999'", "tiny_hard_128"], note) == []
    right = board.cells[0].cell.slug
    assert make_board(graded, [], [], BoardSettings(main_cell=right), drafts=False).notes == ()
    assert make_board([], [], [], BoardSettings(main_cell="tiny_hard_999"), drafts=False).notes == ()
    (tmp_path / "board.json").write_text(json.dumps({"titel": "Ours"}))
    with pytest.raises(RecordError, match=r"'titel'; did you mean 'title'"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        "ROI-Bench/Tiny-RARL",
        "roi_bench/tiny.rarl",
        "roi-bench/t1ny-rarl",
        "rоі-bеnсh/tіnу-rаrl".translate(str.maketrans("", "")),
        "ｒｏｉ-ｂｅｎｃｈ/ｔｉｎｙ-ｒａｒｌ",
        "𝐫𝐨𝐢-𝐛𝐞𝐧𝐜𝐡/𝐭𝐢𝐧𝐲-𝐫𝐚𝐫𝐥",
        "roi-bénch/tiny-rarl",
        "roi-bench/ti\u200dny-rarl",
    ],
)
def test_names_that_look_alike_have_one_skeleton(other: str) -> None:
    assert other != "roi-bench/tiny-rarl"
    assert skeleton(other) == skeleton("roi-bench/tiny-rarl")


def test_names_that_do_not_look_alike_have_their_own() -> None:
    names = ["Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-15B", "Qwen/Qwen2-1.5B", "通义/千问", "通义/千间", "org/a", "org/b"]
    assert len({skeleton(name) for name in names}) == len(names)


@given(st.text(max_size=60))
def test_a_skeleton_is_the_same_whatever_the_capitals_and_the_form(text: str) -> None:
    assert skeleton(unicodedata.normalize("NFD", text)) == skeleton(unicodedata.normalize("NFC", text))
    assert skeleton(skeleton(text)) == skeleton(text)


def test_a_name_that_looks_like_anothers_is_told_of_both() -> None:
    def named(number: int, model: str) -> Any:
        graded = invented_submission(number, exams=10, cells=(MAIN,))
        metadata = replace(graded.submission.metadata, model=model)
        return replace(graded, submission=replace(graded.submission, metadata=metadata), remarks=())

    graded = [named(0, "org/Model-1"), named(1, "0rg/ModeI-l"), named(2, "org/Model-1"), named(4, "org/Model-2")]
    board = make_board(graded, [], [], BoardSettings(), drafts=False)
    told = {e.id: [r.text for r in e.graded.remarks if r.rule == "name"] for e in board.entries}
    ids = [one.submission.id for one in graded]
    assert missing([ids[1]], told[ids[0]][0]) == []
    assert missing([ids[0], ids[2]], told[ids[1]][0]) == []
    assert told[ids[3]] == []
