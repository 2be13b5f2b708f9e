"""``roi-bench leaderboard`` as a user meets it: one line for each failure, the right exit codes, what it prints."""

import json
import re
import shutil
import subprocess

import pytest

from roi_bench.cli.main import main
from roi_bench.leaderboard.board import gather
from tests.leaderboard.made_submissions import MadeTask, made_submission
from tests.support.messages import missing


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """Return a folder with one draft of three exams and one folder that is no submission."""
    folder = tmp_path_factory.mktemp("board") / "submissions"
    made_submission(folder, [MadeTask(exams=3)], model="made-up/one", date="2026-11-01")
    (folder / "no-submission").mkdir()
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a cache for all tests."""
    return tmp_path_factory.mktemp("cache")


def run(capsys, *arguments):
    """Return exit code, stdout and stderr of ``roi-bench leaderboard ARGUMENTS``."""
    with pytest.raises(SystemExit) as exit_:
        main(["leaderboard", *map(str, arguments)])
    out, err = capsys.readouterr()
    return exit_.value.code, out, err


def build(capsys, submissions, site, cache, *more):
    common = ("--drafts", "--cache", cache, "--workers", 1, "--exam-pages", 1)
    return run(capsys, "build", submissions, "--out", site, *common, *more)


def test_building_says_what_was_refused_and_where_the_board_is(capsys, submissions, cache, tmp_path):
    site = tmp_path / "site"
    code, out, err = build(capsys, submissions, site, cache)
    assert code == 5
    assert missing([f"{site}/index.html", f"roi-bench leaderboard serve {site}"], out) == []
    lines = [line for line in err.splitlines() if line.startswith("roi-bench")]  # else a progress bar
    first, second, third, fourth = [line for line in lines if ": loading " not in line]
    assert missing(["refused no-submission", "submission.json"], first) == []
    assert missing(["1 submission", "1 of them"], second) == []
    assert missing(["board.json", "project_url"], third) == []
    assert missing(["drafts"], fourth) == []
    assert (site / "index.html").exists()


def test_a_board_with_an_address_of_its_project_says_nothing_of_it(capsys, submissions, cache, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)
    (folder / "board.json").write_text(json.dumps({"project_url": "https://example.org/us/project"}), encoding="utf-8")
    _, _, err = build(capsys, folder, tmp_path / "site", cache)
    assert "project_url" not in err
    assert 'href="https://example.org/us/project/"' in (tmp_path / "site/submit.html").read_text(encoding="utf-8")


def test_refused_submissions_can_be_allowed(capsys, submissions, cache, tmp_path):
    code, _, err = build(capsys, submissions, tmp_path / "site", cache, "--allow-refused")
    assert code == 0
    assert "refused no-submission" in err


def test_the_cache_lies_beside_the_site_unless_told_otherwise(capsys, tmp_path):
    (tmp_path / "submissions").mkdir()
    assert run(capsys, "build", tmp_path / "submissions", "--out", tmp_path / "site")[0] == 0
    assert run(capsys, "build", tmp_path / "submissions", "--out", tmp_path / "other", "--no-cache")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"submissions", "site", "site.cache", "other"}


@pytest.mark.parametrize("number", ["all", "none", "3"])
def test_exam_pages_are_counted(capsys, submissions, cache, tmp_path, number):
    site = tmp_path / "site"
    build(capsys, submissions, site, cache, "--exam-pages", number)
    assert len(list(site.rglob("exams/*.html"))) == {"all": 3, "none": 0, "3": 3}[number]


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (["build", "{nowhere}", "--out", "{site}"], 2, ["nowhere"]),
        (["build", "{submissions}", "--out", "{submissions}/site"], 2, ["--out", "SUBMISSIONS"]),
        (["build", "{submissions}", "--out", "{foreign}"], 2, ["--out", "foreign"]),
        (["build", "{submissions}", "--out", "{site}", "--exam-pages", "-1"], 2, ["'--exam-pages'", "'-1'"]),
        (["build", "{submissions}", "--out", "{site}", "--no-cache", "--cache", "c"], 2, ["--no-cache", "--cache"]),
        (["build", "{submissions}", "--out", "{site}", "--base-url", "ftp://x"], 2, ["'ftp://x'"]),
        (
            ["build", "{one}", "--out", "{site}"],
            2,
            ["submission.json"],
        ),
        (["export", "tables", "{one}", "--out", "{site}"], 2, ["submission.json"]),
        (["build", "{bad}", "--out", "{site}"], 5, ["reviews.json"]),
        (["serve", "{nowhere}"], 2, ["nowhere", "roi-bench leaderboard build"]),
        (["export", "tables", "{nowhere}", "--out", "{site}"], 2, ["nowhere"]),
        (["export", "cards", "{submissions}", "--out", "{site}"], 2, ["'cards'"]),
        (
            ["export", "tables", "{submissions}", "--out", "{site}", "--dataset-id", "a/b"],
            2,
            ["--dataset-id", "tables"],
        ),
    ],
)
def test_a_failure_is_one_line(capsys, submissions, tmp_path, arguments, code, facts):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/reviews.json").write_text("[NaN]")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").touch()
    places = {name: tmp_path / name for name in ("nowhere", "site", "foreign", "bad")} | {"submissions": submissions}
    places["one"] = next(path for path in submissions.iterdir() if path.name.startswith("made-up"))
    ended, out, err = run(capsys, *(argument.format(**places) for argument in arguments))
    assert (ended, out, err.count("\n")) == (code, "", 1), err
    assert missing(facts, err) == []
    assert not (tmp_path / "site").exists()


def test_tables_are_exported(capsys, submissions, cache, tmp_path):
    common = ("--out", tmp_path / "out", "--drafts", "--cache", cache, "--workers", 1, "--allow-refused")
    code, out, _ = run(capsys, "export", "tables", submissions, *common)
    assert (code, missing(["4 files", tmp_path / "out"], out)) == (0, [])
    rows = json.loads((tmp_path / "out/data/tiny_hard_128.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["made-up/one"]


@pytest.mark.parametrize("form", ["hugging-face", "every-eval-ever"])
def test_drafts_are_not_exported_elsewhere(capsys, submissions, cache, tmp_path, form):
    common = ("--out", tmp_path / "out", "--drafts", "--cache", cache, "--workers", 1)
    code, out, err = run(capsys, "export", form, submissions, *common)
    assert code == 5
    assert "refused no-submission" in err
    assert missing([tmp_path / "out"], out) == []
    assert not [path for path in (tmp_path / "out").rglob("*") if "made-up" in path.name]


def test_an_export_of_samples_reads_every_response_once(capsys, tmp_path, monkeypatch):
    """Also with a cache, which holds no responses; nothing but the export is left."""
    folder = made_submission(tmp_path / "submissions", [MadeTask(prompt="direct")], model="made-up/whole")
    graded = []
    grade = gather.grade_submission
    monkeypatch.setattr(
        gather, "grade_submission", lambda *given, **more: graded.append(given) or grade(*given, **more)
    )
    common = ("--cache", tmp_path / "cache", "--workers", 1)
    for count in (1, 2):
        out = tmp_path / f"out{count}"
        code, _, err = run(capsys, "export", "every-eval-ever", folder.parent, "--out", out, *common)
        assert (code, len(graded)) == (0, count), err
        found = sorted(path.name.partition("_")[2] for path in out.rglob("*") if path.is_file())
        assert [name for name in found if name] == ["samples.jsonl"]
        assert len(found) == 2


def test_a_review_of_a_folder_that_is_not_there_says_so(capsys, tmp_path):
    """Of a change that adds nothing it would say that the change adds nothing, whatever folder is named."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t.t"]
    for arguments in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "empty"]):
        subprocess.run([*git, *arguments], check=True)
    code, out, err = run(capsys, "review", "nowhere", "--base", "HEAD", "--repository", tmp_path)
    assert (code, out) == (2, "")
    assert missing(["'nowhere'", "HEAD"], err) == []


def test_no_name_of_a_form_is_broken_in_the_help(capsys):
    _, out, _ = run(capsys, "export", "--help")
    usage = out.partition("Options:")[0]
    assert all(
        re.search(rf"^    {form} ", usage, re.MULTILINE) for form in ("hugging-face", "every-eval-ever", "tables")
    )
    assert not re.search(r"-$", usage, re.MULTILINE)


def test_the_help_names_the_three_commands(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(name in out for name in ("build", "serve", "export"))
