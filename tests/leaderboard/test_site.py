"""Building a site: same submissions, same bytes, however built; nothing is done twice, nothing foreign is lost."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board import cache as graded_cache
from roi_bench.leaderboard.board import cache as page_cache
from roi_bench.leaderboard.board import gather
from roi_bench.leaderboard.site.page import PageOptions
from roi_bench.leaderboard.site.site import MARKER, BuildOptions, build_site
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered
from tests.support.messages import missing

SMALL = (MadeTask(exams=5, usd=1e-6), MadeTask(exams=5, order="medium", skill=(0.7, 0.4, 0.2), attempts=(True,) * 3))


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """Return a folder of three drafts, one of which corrects another, a damaged folder, and the board's own files."""
    folder = tmp_path_factory.mktemp("made") / "submissions"
    first = made_submission(folder, SMALL, model="made-up/one", date="2026-11-01")
    better = {"date": "2026-11-02", "replaces": first.name, "notes": "Better."}
    correction = made_submission(folder, SMALL, model="made-up/one", **better)
    agreed = {
        "submission": correction.name,
        "badge": "correction",
        "by": "Us",
        "date": "2026-11-03",
        "note": "By mail.",
    }
    (folder / "reviews.json").write_text(json.dumps([agreed]))
    made_submission(folder, SMALL[:1], model="made-up/two", date="2026-11-03", parameters=1000)
    (folder / "broken-0123456789ab").mkdir()
    (folder / "broken-0123456789ab/submission.json").write_text("[" * 1000)
    (folder / "board.json").write_text(json.dumps({"title": "Made up", "base_url": "https://board.example"}))
    return folder


def build(submissions, out, cache=None, **changes):
    """Build with one process; return what was done and what was told."""
    pages = PageOptions(exam_pages=changes.pop("exam_pages", 2))
    told = []
    options = BuildOptions(cache=cache, drafts=True, workers=changes.pop("workers", 1), pages=pages, **changes)
    return build_site(submissions, out, options, tell=told.append), told


def content(site):
    return {str(path.relative_to(site)): path.read_bytes() for path in sorted(site.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def whole(submissions, tmp_path_factory):
    """Return a built site, its cache, and what a build has to give."""
    folder = tmp_path_factory.mktemp("whole")
    built, told = build(submissions, folder / "site", folder / "cache")
    assert (len(built.board.entries), built.graded, built.removed) == (3, 3, 0)
    assert built.written == built.files
    assert len(told) == 1
    assert missing(["refused broken-0123456789ab", "submission.json", "nested"], told[0]) == []
    return folder / "site", folder / "cache", content(folder / "site")


@pytest.fixture
def copied(whole, tmp_path):
    """Return copies of the built site and its cache, which a test may change."""
    site, cache, _ = whole
    shutil.copytree(site, tmp_path / "site")
    shutil.copytree(cache, tmp_path / "cache")
    return tmp_path / "site", tmp_path / "cache"


def names(submissions):
    return sorted(path.name for path in submissions.iterdir() if path.is_dir() and not path.name.startswith("broken"))


def test_the_site_has_all_pages(whole, submissions):
    _, _, files = whole
    expected = {"index.html", "cells/tiny_hard_128.html", "cells/tiny_medium_128.html", "charts/tiny_hard.html"}
    expected |= {"compare.html", "method.html", "changelog.html", "feed.xml", "static/app.js", "static/style.css"}
    expected |= {"data/tiny_hard_128.csv", "data/tiny_hard_128.json", "data/board.csv", "data/board.parquet"}
    for name in names(submissions):
        expected |= {f"models/{name}/{page}" for page in ("index.html", "data.json", "tiny_hard_128_direct.html")}
        expected |= {f"models/{name}/exams/tiny-0-00{exam}.html" for exam in (0, 1)}
    assert expected <= files.keys()
    assert files[MARKER].decode().splitlines()[1:] == sorted(files.keys() - {MARKER})


def test_no_page_tells_where_it_was_made(whole, submissions):
    site, cache, files = whole
    places = [str(place).encode() for place in (site, cache, submissions, Path.home(), Path(gather.__file__).parent)]
    assert [name for name, found in files.items() if any(place in found for place in places)] == []


def test_building_again_does_nothing(copied, whole, submissions, monkeypatch):
    monkeypatch.setattr(gather, "grade_submission", None)  # whatever would be graded would fail
    site, cache = copied
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    built, _ = build(submissions, site, cache)
    assert (built.graded, built.written, built.removed) == (0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before
    assert content(site) == whole[2]


def test_a_warm_cache_gives_the_same_bytes_in_another_place(copied, whole, submissions, tmp_path):
    build(submissions, tmp_path / "elsewhere/site", copied[1])
    assert content(tmp_path / "elsewhere/site") == whole[2]


def test_without_a_cache_everything_is_graded_and_nothing_is_kept(whole, submissions, tmp_path):
    built, _ = build(submissions, tmp_path / "site")
    assert built.graded == 3
    assert content(tmp_path / "site") == whole[2]
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.slow
def test_processes_hash_seeds_and_the_order_of_files_change_nothing(whole, submissions, tmp_path):
    other = tmp_path / "submissions"
    other.mkdir()
    for path in sorted(submissions.iterdir(), reverse=True):
        if path.is_dir():
            (other / path.name).mkdir()
            for file in sorted(path.iterdir(), reverse=True):
                shutil.copyfile(file, other / path.name / file.name)
        else:
            shutil.copyfile(path, other / path.name)
    command = [sys.executable, "-m", "roi_bench", "leaderboard", "build", str(other), "--out", str(tmp_path / "site")]
    options = ["--drafts", "--workers", "2", "--exam-pages", "2"]
    environment = dict(os.environ, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == RecordError.exit_code, done.stderr
    assert content(tmp_path / "site") == whole[2]


def test_a_new_submission_is_the_only_one_that_is_graded(copied, submissions, tmp_path, monkeypatch):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)
    new = made_submission(folder, SMALL[:1], model="made-up/three", date="2026-11-04", parameters=2000)
    graded = []
    real = gather.grade_submission
    monkeypatch.setattr(gather, "grade_submission", lambda c, **k: (graded.append(c.submission.id), real(c, **k))[1])
    site, cache = copied
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*.html")}
    built, _ = build(folder, site, cache)
    assert graded == [new.name]
    changed = {path for path in site.rglob("*.html") if path.stat().st_mtime_ns != before.get(path)}
    assert site / f"models/{new.name}/index.html" in changed
    assert site / "index.html" in changed
    assert not [path for path in changed if path.parent.name == "exams" and new.name not in str(path)]
    fresh, _ = build(folder, tmp_path / "fresh")
    assert content(site) == content(tmp_path / "fresh")
    assert built.board == fresh.board


def test_a_submission_that_left_takes_its_pages_along(copied, submissions, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)
    gone = next(path for path in folder.iterdir() if path.name.startswith("made-up-two"))
    shutil.rmtree(gone)
    site, cache = copied
    (site / "CNAME").write_text("board.example")
    built, _ = build(folder, site, cache)
    assert built.removed >= 5
    assert not (site / "models" / gone.name).exists()
    (site / "CNAME").unlink()
    build(folder, tmp_path / "fresh")
    assert content(site) == content(tmp_path / "fresh")


def test_a_submission_refused_beside_others_loses_its_pages(copied, submissions, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)
    ours = [path for path in folder.iterdir() if path.name.startswith("made-up-one")]
    corrected, correction = sorted(ours, key=lambda path: _replaces(path) is not None)
    shutil.rmtree(corrected)
    site, cache = copied
    built, told = build(folder, site, cache)
    assert [entry.id for entry in built.board.entries] == [n for n in names(folder) if n != correction.name]
    assert missing([f"refused {correction.name}", corrected.name], told[-1]) == []
    assert not (site / "models" / correction.name).exists()


def test_a_submission_of_an_older_form_is_named_and_left_out(copied, submissions, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)

    def forget(document):
        for task in document["tasks"]:
            for name in ("reading_rule", "starts_in_reasoning", "think_tags"):
                del task[name]

    made = made_submission(tmp_path / "made", SMALL[:1], model="made-up/old")
    old = tampered(made, folder, document=forget)
    site, cache = copied
    built, told = build(folder, site, cache)
    assert old.name not in [entry.id for entry in built.board.entries]
    assert (
        missing([f"refused {old.name}", "submission.json", "reading rule 1", "roi-bench submit migrate"], told[-1])
        == []
    )
    assert "reading rule 1" in (site / "changelog.html").read_text(encoding="utf-8")


def test_a_refused_submission_is_not_graded_at_every_build(copied, submissions, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)
    corrected = "made-up-two-0123456789ab"
    bad = made_submission(folder, SMALL[:1], model="made-up/two", date="2026-11-05", replaces=corrected)
    site, cache = copied
    first, told = build(folder, site, cache)
    assert first.graded == 1
    assert any(missing([f"refused {bad.name}", corrected], line) == [] for line in told)
    built, told_again = build(folder, site, cache)
    assert (built.graded, built.written, built.removed) == (0, 0, 0)
    assert (built.board, told_again) == (first.board, told)
    assert not (site / "models" / bad.name).exists()


def test_what_stands_again_gets_its_pages_back(copied, whole, submissions, tmp_path):
    folder = tmp_path / "submissions"
    shutil.copytree(submissions, folder)
    (corrected,) = [path for path in folder.iterdir() if path.name in names(folder) and _is_corrected(path, folder)]
    shutil.move(corrected, tmp_path / "away")
    site, cache = copied
    assert len(build(folder, site, cache)[0].board.entries) == 1
    shutil.move(tmp_path / "away", corrected)
    built, _ = build(folder, site, cache)
    assert (len(built.board.entries), built.graded) == (3, 2)
    assert content(site) == whole[2]


def _is_corrected(path, folder):
    return any(_replaces(folder / name) == path.name for name in names(folder))


def _replaces(folder):
    return json.loads((folder / "submission.json").read_text())["replaces"]


def test_pages_that_were_altered_or_lost_are_made_again(copied, whole, submissions):
    site, cache = copied
    first, second, _ = names(submissions)
    (site / f"models/{first}/exams/tiny-0-000.html").write_text("<script>alert(1)</script>")
    (site / f"models/{second}/data.json").unlink()
    built, _ = build(submissions, site, cache)
    assert (built.graded, built.written) == (2, 2)
    assert content(site) == whole[2]


@pytest.mark.parametrize("how", ["options", "code"])
def test_other_options_or_code_make_pages_anew(copied, whole, submissions, monkeypatch, how):
    site, cache = copied
    if how == "code":
        monkeypatch.setattr(page_cache, "rendering_code", lambda: "another release")
    built, _ = build(submissions, site, cache, exam_pages=1 if how == "options" else 2)
    assert built.graded == 3
    assert (content(site) == whole[2]) == (how == "code")
    assert built.removed == (3 if how == "options" else 0)


def test_what_other_code_graded_is_graded_again(copied, whole, submissions, monkeypatch):
    monkeypatch.setattr(graded_cache, "grading_code", lambda: "another release")
    site, cache = copied
    assert build(submissions, site, cache)[0].graded == 3
    assert content(site) == whole[2]


def test_a_damaged_cache_is_no_cache(copied, whole, submissions):
    site, cache = copied
    for number, path in enumerate(sorted(path for path in cache.rglob("*") if path.is_file())):
        path.write_bytes((b"", b"{}", b"\xff", path.read_bytes()[:-2])[number % 4])
    assert build(submissions, site, cache)[0].graded == 3
    assert content(site) == whole[2]
    assert build(submissions, site, cache)[0].graded == 0


def test_an_interrupted_build_keeps_what_was_graded(whole, submissions, tmp_path):
    def interrupt(items, _):
        for item in items:
            yield item
            if item.graded is not None:
                raise KeyboardInterrupt

    site, cache = tmp_path / "site", tmp_path / "cache"
    options = BuildOptions(cache, drafts=True, workers=1, pages=PageOptions(exam_pages=2))
    with pytest.raises(KeyboardInterrupt):
        build_site(submissions, site, options, show=interrupt)
    assert build(submissions, site, cache)[0].graded == 2
    assert content(site) == whole[2]


def test_a_foreign_folder_is_left_alone(submissions, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "site"))):
        build(submissions, tmp_path / "site")
    assert content(tmp_path / "site") == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    ("out", "cache", "facts"),
    [
        ("submissions/site", None, "--out .*SUBMISSIONS"),
        (".", None, "SUBMISSIONS .*--out"),
        ("site", "site/cache", "--cache .*--out"),
        ("site", "submissions/cache", "--cache .*SUBMISSIONS"),
        ("cache/site", "cache", "--out .*--cache"),
    ],
)
def test_folders_lie_beside_each_other(tmp_path, out, cache, facts):
    (tmp_path / "submissions").mkdir()
    with pytest.raises(UsageError, match=facts):
        build(tmp_path / "submissions", tmp_path / out, cache and tmp_path / cache)
    assert [path.name for path in tmp_path.rglob("*")] == ["submissions"]


def test_one_submission_is_no_folder_of_submissions(submissions, tmp_path):
    one = submissions / names(submissions)[0]
    with pytest.raises(UsageError, match=f"submission.json.*{one.parent}$"):
        build(one, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_hidden_cache_may_lie_among_the_submissions(tmp_path):
    (tmp_path / "submissions").mkdir()
    built, _ = build(tmp_path / "submissions", tmp_path / "site", tmp_path / "submissions/.cache")
    assert built.board.entries == ()
    assert (tmp_path / "site/index.html").exists()


def test_an_empty_board_builds_quickly(tmp_path):
    (tmp_path / "submissions").mkdir()
    begin = time.monotonic()
    built, _ = build(tmp_path / "submissions", tmp_path / "site")
    assert built.files > 5
    assert time.monotonic() - begin < 20
