"""A folder of submissions as its maintainers arranged it: folders, reviews, settings, and what does not belong."""

import json
import os
import re
import subprocess

import pytest

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.board.board import (
    BoardSettings,
    Review,
    check_address,
    exams_of,
    read_accepted,
    read_reviews,
    read_settings,
    submission_in,
    write_review,
)
from roi_bench.leaderboard.board.build import read_sources
from roi_bench.leaderboard.board.gather import days_in_history, submission_folders
from tests.leaderboard.made_submissions import MadeTask, made_submission
from tests.support.messages import missing

REVIEW = {
    "submission": "a-1",
    "badge": "reproduced",
    "by": "The maintainers",
    "date": "2026-11-20",
    "exams": 30,
    "note": "All alike.",
}


def write(folder, name, value):
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def reviews_of(folder, value):
    write(folder, "reviews.json", value)
    (folder / "a-1").mkdir(exist_ok=True)
    return read_reviews(folder, [folder / "a-1"])


def test_folders_are_sorted_and_what_does_not_belong_is_refused(tmp_path):
    for name in ("b-2", "a-1", ".cache"):
        (tmp_path / name).mkdir()
    for name in ("reviews.json", "board.json", ".gitkeep", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c-3").symlink_to(tmp_path / "a-1")
    folders, refused = submission_folders(tmp_path)
    assert [folder.name for folder in folders] == ["a-1", "b-2"]
    assert [one.folder for one in refused] == ["c-3", "notes.txt"]
    assert missing(["link"], refused[0].reason) == missing(["folder"], refused[1].reason) == []


def test_a_place_that_is_no_folder_is_told(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        submission_folders(tmp_path / "nowhere")


def test_without_files_there_are_no_reviews_and_the_usual_settings(tmp_path):
    assert read_reviews(tmp_path, []) == ()
    assert read_settings(tmp_path) == BoardSettings()


def test_reviews_are_read(tmp_path):
    run = {"submission": "a-1", "badge": "maintainer-run", "by": "Us", "date": "2026-11-21"}
    assert reviews_of(tmp_path, [REVIEW, run]) == (
        Review("a-1", "reproduced", "The maintainers", "2026-11-20", 30, "All alike."),
        Review("a-1", "maintainer-run", "Us", "2026-11-21", None, ""),
    )


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"submission": "b-2"}, ["'b-2'"]),
        ({"badge": "regraded"}, ["badge", "'regraded'", "reproduced, maintainer-run"]),
        ({"date": "20261120"}, ["date", "'20261120'"]),
        ({"date": "2026-11-31"}, ["date", "'2026-11-31'"]),
        ({"exams": None}, ["exams"]),
        ({"exams": True}, ["exams"]),
        ({"exams": 0}, ["exams"]),
        ({"exams": 9_999_999}, ["9999999", "128000"]),
        ({"agreed": 31}, ["agreed", "30", "31"]),
        ({"agreed": -1}, ["agreed", "-1"]),
        ({"agreed": True}, ["agreed"]),
        ({"badge": "maintainer-run", "exams": None, "agreed": 3}, ["agreed"]),
        ({"date": "2999-01-01"}, ["2999-01-01"]),
        ({"badge": "maintainer-run"}, ["exams"]),
        ({"stars": 5}, ["'stars'"]),
        ({"by": 7}, ["by"]),
        ({"by": None}, ["by"]),
        ({"note": "two\nlines"}, ["note"]),
        ({"note": "x" * 2001}, ["note", "2000"]),
    ],
)
def test_a_wrong_review_is_told_with_its_number(tmp_path, changes, facts):
    with pytest.raises(RecordError) as error:
        reviews_of(tmp_path, [REVIEW, REVIEW | changes])
    assert missing(["review 2", *facts], str(error.value)) == []


def test_no_more_exams_are_run_again_than_the_submission_has(tmp_path):
    folder = made_submission(tmp_path, [MadeTask(exams=3), MadeTask(exams=4, order="medium")])
    submission = submission_in(folder)
    assert submission is not None
    assert exams_of(submission) == 7
    for exams in (7, 9):
        write(tmp_path, "reviews.json", [REVIEW | {"submission": folder.name, "exams": exams, "agreed": 6}])
        if exams == 7:
            (review,) = read_reviews(tmp_path, [folder])
            assert (review.exams, review.agreed) == (7, 6)
        else:
            with pytest.raises(RecordError, match=r"review 1.*9 exams.*7"):
                read_reviews(tmp_path, [folder])


def test_an_entry_is_added_and_takes_the_place_of_its_predecessor(tmp_path):
    path, folder = tmp_path / "reviews.json", tmp_path / "a-1"
    write_review(path, REVIEW, folder)
    write_review(path, REVIEW | {"by": "Others"}, folder)
    write_review(path, REVIEW | {"agreed": 29}, folder)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found == [REVIEW | {"by": "Others"}, REVIEW | {"agreed": 29}]
    before = path.read_bytes()
    with pytest.raises(RecordError, match="31"):
        write_review(path, REVIEW | {"agreed": 31}, folder)
    assert path.read_bytes() == before


def test_a_review_needs_all_its_fields(tmp_path):
    with pytest.raises(RecordError, match=r"review 1.*'by'"):
        reviews_of(tmp_path, [{key: value for key, value in REVIEW.items() if key != "by"}])


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[1]",
        "[NaN]",
        '[{"submission": "a-1", "submission": "a-1"}]',
        "[" * 100,
        '["\\ud800"]',
        "",
        "[" + " " * 2**20,
    ],
    ids=["object", "number", "nan", "twice", "deep", "surrogate", "empty", "large"],
)
def test_a_damaged_file_of_reviews_is_told(tmp_path, content):
    with pytest.raises(RecordError, match=r"reviews\.json"):
        reviews_of(tmp_path, content)


def test_files_of_the_board_are_read_from_nowhere_else(tmp_path):
    write(tmp_path, "elsewhere.json", {"title": "Elsewhere"})
    (tmp_path / "board.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RecordError, match=r"board\.json"):
        read_settings(tmp_path)


def test_settings_are_read(tmp_path):
    write(
        tmp_path,
        "board.json",
        {
            "title": "Ours",
            "base_url": "https://example.org/board",
            "main_cell": "tiny_7_hard_128",
            "description": None,
            "project_url": "https://example.org/us/project",
        },
    )
    assert read_settings(tmp_path) == BoardSettings(
        title="Ours",
        base_url="https://example.org/board/",
        main_cell="tiny_7_hard_128",
        project_url="https://example.org/us/project/",
    )


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ([], ["JSON"]),
        ({"titel": "Ours"}, ["'titel'", "title, description, base_url, main_cell, project_url"]),
        ({"base_url": "javascript:alert(1)"}, ["base_url", "'javascript:alert(1)'"]),
        ({"project_url": "ftp://example.org/"}, ["project_url", "'ftp://example.org/'"]),
        ({"main_cell": "../../etc"}, ["main_cell", "'../../etc'"]),
    ],
)
def test_wrong_settings_are_told(tmp_path, settings, facts):
    write(tmp_path, "board.json", settings)
    with pytest.raises(RecordError) as error:
        read_settings(tmp_path)
    assert missing(["board.json", *facts], str(error.value)) == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", ""),
        ("https://example.org", "https://example.org/"),
        ("http://127.0.0.1:8000/a/b/", "http://127.0.0.1:8000/a/b/"),
    ],
)
def test_an_address_ends_with_a_slash(given, found):
    assert check_address(given) == found


@pytest.mark.parametrize(
    "address",
    ["example.org", "https://example.org/?a=b", "https://u@example.org/", 'https://example.org/"', "https://"],
)
def test_an_address_that_is_none_is_told(address):
    with pytest.raises(UsageError, match=re.escape(repr(address))):
        check_address(address)


def git(folder, *arguments, day):
    names = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    days = {f"GIT_{who}_DATE": f"{day}T12:00:00Z" for who in ("AUTHOR", "COMMITTER")}
    subprocess.run(["git", "-C", folder, *arguments], env=os.environ | names | days, check=True, capture_output=True)


def submitted(folder, name, day):
    (folder / "board" / name).mkdir(parents=True)
    write(folder / "board" / name, "submission.json", {})
    git(folder, "add", ".", day=day)
    git(folder, "commit", "-qm", name, day=day)


@pytest.fixture
def history(tmp_path):
    """Return a repository: one submission on the main branch, one merged a year after it was committed."""
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-qb", "main", day="2026-01-01")
    submitted(repository, "first-0123456789ab", "2026-03-01")
    git(repository, "checkout", "-qb", "change", day="2026-03-02")
    submitted(repository, "merged-0123456789ab", "2025-04-01")
    git(repository, "checkout", "-q", "main", day="2026-03-02")
    git(repository, "merge", "-q", "--no-ff", "-m", "Merge", "change", day="2026-05-06")
    return repository


def test_the_day_of_acceptance_is_that_of_the_branch_and_not_the_submitters(history):
    expected = {"first-0123456789ab": "2026-03-01", "merged-0123456789ab": "2026-05-06"}
    assert days_in_history(history / "board") == expected
    (history / "board/waiting-0123456789ab").mkdir()
    write(history / "board/waiting-0123456789ab", "submission.json", {})
    assert read_sources(history / "board").accepted == expected
    write(
        history / "board", "accepted.json", {"waiting-0123456789ab": "2026-06-01", "first-0123456789ab": "2026-02-01"}
    )
    assert read_sources(history / "board").accepted == expected | {
        "waiting-0123456789ab": "2026-06-01",
        "first-0123456789ab": "2026-02-01",
    }


def test_a_history_that_is_cut_off_or_not_there_tells_no_day(history, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", history.as_uri(), str(clone), day="2026-07-01")
    assert days_in_history(clone / "board") == {}
    assert days_in_history(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ([], ["object"]),
        ({"b-2": "2026-01-01"}, ["'b-2'"]),
        ({"a-1": "yesterday"}, ["a-1", "'yesterday'", "2026-11-24"]),
        ({"a-1": None}, ["a-1", "None"]),
    ],
)
def test_a_wrong_file_of_days_is_told(tmp_path, content, facts):
    write(tmp_path, "accepted.json", content)
    with pytest.raises(RecordError) as error:
        read_accepted(tmp_path, [tmp_path / "a-1"])
    assert missing(["accepted.json", *facts], str(error.value)) == []
