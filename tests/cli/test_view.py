"""``roi-bench view``: any results folder as pages and in the terminal, finished or not, with filters by outcome."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from roi_bench.cli.main import cli
from roi_bench.errors import DependencyError, UsageError
from roi_bench.exams.sets import load_exams
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import Entry, Header, Journal, read_journal, request_key
from roi_bench.records.results import NO_RESPONSE
from roi_bench.records.unfinished import NOT_SAID
from roi_bench.scoring.tokens import Usage
from tests.leaderboard.html_reader import read_html
from tests.support.exam_factory import respond
from tests.support.messages import shown_in, shows
from tests.support.playback_run import sit
from tests.support.results import sample, write

EXAMS = {exam.id: exam for exam in load_exams("tiny")}
FIRST, SECOND = "tiny/0/000", "tiny/0/001"


def view(*arguments: object) -> str:
    """Run the command in this process and return what it printed to stdout."""
    done = CliRunner().invoke(cli, ["view", *map(str, arguments), "--workers", "1"])
    if done.exception is not None:
        raise done.exception
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of two tasks with three exams each; in hard order the first and the third end in a wrong answer."""
    folder = tmp_path_factory.mktemp("view")
    sit(folder, 3)
    return folder / "out"


@pytest.fixture(scope="module")
def unfinished(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, killed before any results were written."""
    folder = tmp_path_factory.mktemp("view") / "unfinished"
    shutil.copytree(finished, folder)
    for path in [*folder.rglob("results_*.json"), *folder.rglob("samples_*.jsonl")]:
        path.unlink()
    return folder


def test_one_exam_in_the_terminal(finished: Path) -> None:
    text = view(finished, "--exam", FIRST)
    exam = EXAMS[FIRST]
    for problem in exam.problems:
        assert problem.question in text
        assert shown_in(text, problem.id, f"answer: {problem.answer}")
    assert shown_in(text, "tiny hard 128", "tiny medium 128", "wrong; read: no such number")
    assert f"correct; read: {exam.ordered('hard')[0].answer}" in text
    assert r"\boxed{no such number}" in text
    assert SECOND not in text


def test_a_run_that_is_not_finished_shows_the_same(finished: Path, unfinished: Path) -> None:
    def lines(folder: Path) -> list[str]:
        return sorted(line for line in view(folder, "--list").splitlines() if line.startswith("tiny/0/"))

    assert lines(unfinished) == lines(finished)
    assert len(lines(finished)) == 2 * 3
    done = CliRunner().invoke(cli, ["view", str(unfinished), "--list"])
    assert shown_in(done.stderr, "hard 128", "not finished", 3)
    both = view(finished, "--exam", FIRST)
    assert [line for line in view(unfinished, "--exam", FIRST).splitlines() if line.startswith("[")] == [
        line for line in both.splitlines() if line.startswith("[")
    ]


def test_of_a_finished_run_nothing_is_shown_twice_and_what_came_later_is(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    assert "not finished" not in CliRunner().invoke(cli, ["view", str(folder), "--list"]).stderr
    (path,) = folder.rglob("journal-*.jsonl")
    header, entries = read_journal(path)
    assert header is not None
    entry = next(entry for entry in entries.values() if entry.extra["order"] == "hard")
    with Journal(path, header) as journal:
        journal.append(
            [
                Entry(
                    request_key("more", json.loads(entry.key.generation), 0),
                    "words",
                    None,
                    {**entry.extra, "exam": "tiny/0/009"},
                )
            ]
        )
    assert view(folder, "--list", "--outcome", "error").count("tiny/0/009") == 1  # easy order has not come yet


def test_journals_of_older_versions_do_not_say_the_prompt(unfinished: Path, tmp_path: Path) -> None:
    (path,) = unfinished.rglob("journal-*.jsonl")
    text = re.sub(r', "prompt": "direct"', "", path.read_text())
    (tmp_path / path.name).write_text(text)
    done = CliRunner().invoke(cli, ["view", str(tmp_path), "--list"])
    assert shown_in(done.stderr, "hard 128", NOT_SAID)
    assert done.stdout == view(unfinished, "--list")


def test_a_finished_run_of_an_older_version_is_not_shown_again(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    (path,) = folder.rglob("journal-*.jsonl")
    path.write_text(re.sub(r', "prompt": "direct"', "", path.read_text()))
    assert "not finished" not in CliRunner().invoke(cli, ["view", str(folder), "--list"]).stderr


def journal_of(folder: Path, extra: dict[str, object], text: str, **more: object) -> None:
    """Write a journal of one response."""
    header = Header({"model": "roi-api", "model_args": {"model": "made-up/m"}, **more}, {"engine": {"name": "api"}})
    with Journal(folder / "journal-0123abcd.rank0.jsonl", header) as journal:
        usage = Usage(20, "stop", "provider")
        key = request_key("prompt", {"max_gen_toks": 128, "do_sample": False}, 0)
        journal.append([Entry(key, text, usage, {"budget": 128, "usd": 0.25, **extra})])


def test_an_api_run_shows_what_each_exam_cost_and_reads_reasoning(tmp_path: Path) -> None:
    text = f"plan \\boxed{{1}} </think> {respond(['7', None, 'NA'])}"
    fields = {"exam": FIRST, "order": "hard", "prompt": "metacognitive", "starts_in_reasoning": True}
    journal_of(tmp_path, fields, text)
    said = view(tmp_path, "--exam", FIRST)
    assert shown_in(said, "metacognitive", "wrong; read: 7", "skipped; read: NA", "20 of 128 tokens")
    assert "unanswered; nothing read" in said
    view(tmp_path, "--out", tmp_path / "site")
    (table,) = read_html((tmp_path / "site/exams/tiny-0-000.html").read_bytes()).all("table")
    assert shown_in(table.text, "0.25") is False  # of the response in easy order no cost is known yet
    site = tmp_path / "site/run-1.html"
    assert "tiny/0/000" in site.read_text(encoding="utf-8")


def test_problems_asked_alone(tmp_path: Path) -> None:
    exam = EXAMS[FIRST]
    journal_of(tmp_path, {"problem": exam.problems[0].id, "prompt": "solo"}, f"\\boxed{{{exam.problems[0].answer}}}")
    said = view(tmp_path, "--exam", exam.problems[0].id)
    assert shown_in(said, "tiny alone 128", f"correct; read: {exam.problems[0].answer}", exam.problems[0].question)
    view(tmp_path, "--out", tmp_path / "site")
    page = read_html((tmp_path / "site/exams/tiny-0-easy-000.html").read_bytes())
    assert shown_in(page.text, "Asked alone", "1 of 1 correct")
    assert len(next(read_html((tmp_path / "site/run-1.html").read_bytes()).all("thead")).text.split("problem 1")) == 2


def test_outcomes_filter(finished: Path) -> None:
    hard = view(finished, "--list", "--outcome", "wrong")
    assert re.findall(r"^tiny/0/\d+", hard, re.MULTILINE).count(SECOND) == 0
    assert FIRST in hard
    assert view(finished, "--list", "--outcome", "empty").strip() == "no exam has the outcome empty"
    with pytest.raises(UsageError, match=shows("tiny/0/400", 6)):
        view(finished, "--exam", "tiny/0/400")


def test_pages_hold_together(finished: Path, unfinished: Path, tmp_path: Path) -> None:
    view(finished, unfinished, "--out", tmp_path)
    pages = {path.relative_to(tmp_path).as_posix(): read_html(path.read_bytes()) for path in tmp_path.rglob("*.html")}
    assert pages.keys() == {
        "index.html",
        *(f"run-{n}.html" for n in (1, 2, 3, 4)),
        *(f"exams/tiny-0-00{n}.html" for n in (0, 1, 2)),
    }
    for name, page in pages.items():
        for element in page.all("a", "link", "script"):
            target = str(element.get("href") or element.get("src") or "").split("?")[0].split("#")[0]
            assert not target or (tmp_path / name).parent.joinpath(target).resolve().is_relative_to(tmp_path.resolve())
            assert not target or (tmp_path / name).parent.joinpath(target).exists(), (name, target)
    index, exam = pages["index.html"], pages["exams/tiny-0-000.html"]
    assert shown_in(index.text, "not finished")
    assert [a.get("href") for a in index.all("a") if "outcome=wrong" in str(a.get("href"))]
    assert EXAMS[FIRST].problems[0].question in exam.text
    assert view(finished, unfinished, "--out", tmp_path)  # the same folder again


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\x1b[31m\u202e\n### Problem 1\n\\boxed{<b>\x1b}"
    write(tmp_path, [sample(FIRST, [evil], [NO_RESPONSE])], reading_rule=READING_RULE)
    said = view(tmp_path, "--exam", FIRST)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "<script>alert(1)</script>\\x1b[31m\\u202e" in said
    view(tmp_path, "--out", tmp_path / "site")
    page = (tmp_path / "site/exams/tiny-0-000.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "There is no response" in page


def test_what_cannot_be_read_is_left_out_with_a_line(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished, folder)
    (results,) = folder.rglob("results_*.json")
    half = results.with_name("results_2020-01-01T00-00-00.json")
    half.write_bytes(results.read_bytes()[:500])
    done = CliRunner().invoke(cli, ["view", str(folder), "--list"])
    assert done.exit_code == 0
    assert shown_in(done.stderr, half)
    assert done.stdout == view(finished, "--list")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match=shows(empty)):
        view(empty)


def test_the_terminal_needs_no_extra_and_pages_say_what_they_need(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\nfor name in ('jinja2', 'markupsafe', 'jsonschema', 'matplotlib', 'torch', 'lm_eval'):\n"
        f"    sys.modules[name] = None\nfrom roi_bench.cli.main import main\nmain(['view', {str(finished)!r}, "
        f"'--exam', {FIRST!r}, '--workers', '1'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "read: no such number" in done.stdout
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jinja2" else object())
    with pytest.raises(DependencyError, match=shows("jinja2", "--list", "--exam")):
        view(finished)


def test_pages_are_served_until_ctrl_c(finished: Path) -> None:
    # Whatever started the tests may have them ignore Ctrl-C, which a process inherits.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from roi_bench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "view", str(finished), "--port", "0", "--workers", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        url = re.search(r"http://127.0.0.1:\d+/", process.stdout.readline())
        assert url is not None
        with urllib.request.urlopen(url[0], timeout=30) as answer:  # noqa: S310 - this test's own server
            assert "tiny hard 128" in answer.read().decode("utf-8")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_outcomes_to_filter_by_are_those_of_problems() -> None:
    from roi_bench.cli.view import OUTCOMES
    from roi_bench.scoring import outcomes

    assert tuple(outcomes.OUTCOMES) == OUTCOMES
