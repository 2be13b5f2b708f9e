"""What a change adds to a board, on throwaway repositories: new submissions pass, everything else is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard import review as module
from roi_bench.leaderboard.review import added_folders, check_place, known_submissions, write_folder
from tests.support.git_repository import BOARD, NEW, OLD, commit_all, git, write


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A repository with one submission on branch main; the branch ``change`` is checked out."""
    folder = tmp_path / "board"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    for path in (f"{BOARD}/{OLD}/submission.json", f"{BOARD}/{OLD}/roi_tiny_hard_128.jsonl.gz", "README.md"):
        write(folder, path)
    commit_all(folder)
    git(folder, "checkout", "--quiet", "-b", "change")
    return folder


def test_new_folders_are_found_and_written_as_they_were_committed(board: Path, tmp_path: Path) -> None:
    for name in (NEW, "another-0000000000ff"):
        write(board, f"{BOARD}/{name}/submission.json", f"{name} é\n")
        write(board, f"{BOARD}/{name}/roi_tiny_hard_128.jsonl.gz", "\0\r\n")
    commit_all(board)
    found = added_folders(board, BOARD, "main", "change")
    assert [one.name for one in found] == ["another-0000000000ff", NEW]
    git(board, "checkout", "--quiet", "main")  # nothing is taken from the files that are checked out
    folder = write_folder(board, found[1], tmp_path / "out")
    assert folder == tmp_path / "out" / NEW
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "submission.json": f"{NEW} é\n".encode(),
        "roi_tiny_hard_128.jsonl.gz": b"\0\r\n",
    }
    assert known_submissions(board, BOARD, "main") == {OLD}


def test_what_came_to_the_main_branch_meanwhile_is_no_part_of_the_change(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/submission.json")
    head = commit_all(board)
    git(board, "checkout", "--quiet", "main")
    write(board, "README.md", "changed\n")
    write(board, f"{BOARD}/third-00000000000a/submission.json")
    commit_all(board)
    assert [one.name for one in added_folders(board, BOARD, "main", head)] == [NEW]


def test_a_change_that_adds_nothing_is_empty(board: Path) -> None:
    head = commit_all(board)
    assert added_folders(board, BOARD, "main", head) == ()


def alter(board: Path) -> None:
    write(board, f"{BOARD}/{OLD}/submission.json", "altered\n")


def remove(board: Path) -> None:
    (board / BOARD / OLD / "roi_tiny_hard_128.jsonl.gz").unlink()


def add_to_old(board: Path) -> None:
    write(board, f"{BOARD}/{OLD}/roi_tiny_medium_128.jsonl.gz")


def rename(board: Path) -> None:
    (board / BOARD / OLD).rename(board / BOARD / NEW)


def link(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/submission.json")
    (board / BOARD / NEW / "roi_tiny_hard_128.jsonl.gz").symlink_to("/etc/passwd")


def link_folder(board: Path) -> None:
    (board / BOARD / NEW).symlink_to(OLD)


def program(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/submission.json")
    (board / BOARD / NEW / "submission.json").chmod(0o755)


def become_link(board: Path) -> None:
    path = board / BOARD / OLD / "submission.json"
    path.unlink()
    path.symlink_to("/etc/passwd")


def below(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/deeper/submission.json")


def strange_name(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/\u202egz.lnosj\n")


def hidden(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/.gitattributes", "* diff=evil\n")


def reviews(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/submission.json")
    write(board, f"{BOARD}/reviews.json", "[]\n")


def elsewhere(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/submission.json")
    write(board, "roi_bench/grading/grader.py", "right = True\n")


def beside(board: Path) -> None:
    write(board, f"{BOARD}-too/{NEW}/submission.json")


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (alter, rf"{BOARD}/{OLD}/submission\.json"),
        (remove, f"{BOARD}/{OLD}/roi_tiny_hard_128"),
        (add_to_old, rf"{BOARD}/{OLD}/roi_tiny_medium_128.jsonl.gz"),
        (rename, f"{BOARD}/{OLD}/"),
        (link, "120000"),
        (link_folder, rf"{BOARD}/{NEW}(?!/)"),
        (program, "100755"),
        (become_link, rf"{BOARD}/{OLD}/submission\.json"),
        (below, rf"{BOARD}/{NEW}/deeper/submission\.json"),
        (strange_name, rf"{BOARD}/{NEW}/\?gz\.lnosj\?"),
        (hidden, rf"{BOARD}/{NEW}/\.gitattributes"),
        (reviews, rf"{BOARD}/reviews\.json"),
        (elsewhere, rf"roi_bench/grading/grader\.py.*{BOARD}"),
        (beside, rf"{BOARD}-too/{NEW}/submission\.json.*{BOARD}\b"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_anything_but_a_new_submission_is_refused(board: Path, change: Callable[[Path], None], fact: str) -> None:
    change(board)
    head = commit_all(board)
    with pytest.raises(RecordError, match=fact):
        added_folders(board, BOARD, "main", head)


def test_a_folder_of_somebody_elses_repository_is_refused(board: Path) -> None:
    inside = git(board, "rev-parse", "HEAD")
    git(board, "update-index", "--add", "--cacheinfo", f"160000,{inside},{BOARD}/{NEW}/submission.json")
    git(board, "commit", "--quiet", "--message", "submodule")
    with pytest.raises(RecordError, match="160000"):
        added_folders(board, BOARD, "main", "HEAD")


def test_a_name_that_came_to_the_main_branch_meanwhile_is_taken(board: Path) -> None:
    write(board, f"{BOARD}/{NEW}/roi_tiny_hard_128.jsonl.gz")
    head = commit_all(board)
    git(board, "checkout", "--quiet", "main")
    write(board, f"{BOARD}/{NEW}/submission.json")
    commit_all(board)
    with pytest.raises(RecordError, match=rf"{BOARD}/{NEW}/roi_tiny_hard_128\.jsonl\.gz"):
        added_folders(board, BOARD, "main", head)


def test_too_many_and_too_large_ones_are_refused_before_anything_is_written(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write(board, f"{BOARD}/many-00000000000{number}/submission.json", "x" * 100)
    head = commit_all(board)
    first, *_ = added_folders(board, BOARD, "main", head)
    monkeypatch.setattr(module, "FOLDER_BYTES", 99)
    with pytest.raises(RecordError, match=r"many-000000000000.*100 bytes.*99"):
        write_folder(board, first, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(module, "MOST_FOLDERS", 2)
    with pytest.raises(RecordError, match="2 submissions"):
        added_folders(board, BOARD, "main", head)
    monkeypatch.setattr(module, "_LIST_BYTES", 200)
    with pytest.raises(RecordError, match=r"git diff-tree.*200 bytes"):
        added_folders(board, BOARD, "main", head)


def test_what_is_no_commit_is_told(board: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'--output=x'"):
        added_folders(board, BOARD, "main", "--output=x")
    with pytest.raises(UsageError, match="'nowhere'"):
        added_folders(board, BOARD, "nowhere", "change")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        added_folders(tmp_path, BOARD, "main", "change")


def test_a_folder_that_is_on_neither_side_is_told(board: Path) -> None:
    check_place(board, BOARD, "main", "main")
    with pytest.raises(UsageError, match=r"'nowhere'.*main"):
        check_place(board, "nowhere", "main", "main")
    git(board, "checkout", "--quiet", "-b", "first")
    write(board, f"new-board/{NEW}/submission.json")
    check_place(board, "new-board", "main", commit_all(board))


def test_a_change_without_a_common_history_is_refused(board: Path) -> None:
    git(board, "checkout", "--quiet", "--orphan", "strange")
    write(board, f"{BOARD}/{NEW}/submission.json")
    head = commit_all(board)
    with pytest.raises(RecordError, match="git merge-base"):
        added_folders(board, BOARD, "main", head)
