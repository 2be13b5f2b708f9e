"""The workflows for GitHub: rights, pinned actions, nothing of a stranger in a shell; shell steps are run here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.git_repository import BOARD, NEW, OLD, commit_all, git, write
from tests.support.messages import shown_in

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
READ_ONLY = {"contents": "read"}
HEAD = "0123456789abcdef0123456789abcdef01234567"


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    return {
        ("on" if key is True else key): value for key, value in found.items()
    }  # YAML 1.1 reads `on` as a truth value


def steps(name: str, job: str) -> dict[str, dict[str, Any]]:
    """Return the steps of a job by name, those without one by the action that they use."""
    return {step.get("name") or step["uses"].partition("@")[0]: step for step in workflow(name)["jobs"][job]["steps"]}


def all_steps() -> list[dict[str, Any]]:
    return [step for file in FILES for job in workflow(file.stem)["jobs"].values() for step in job["steps"]]


def test_the_workflows_are_there() -> None:
    assert [file.stem for file in FILES] == ["ci", "installs", "leaderboard", "leaderboard_comment", "litellm", "vllm"]
    assert workflow("leaderboard_comment")["on"]["workflow_run"]["workflows"] == [workflow("leaderboard")["name"]]


@pytest.mark.parametrize("name", ["vllm", "litellm"])
def test_other_environments_are_checked_every_week_and_by_hand_never_for_a_pull_request(name: str) -> None:
    assert set(workflow(name)["on"]) == {"schedule", "workflow_dispatch"}
    commands = [step["run"] for step in workflow(name)["jobs"]["check"]["steps"] if "run" in step]
    assert [command.split()[:2] for command in commands] == [["bash", f"scripts/check_{name}.sh"]]


@pytest.mark.parametrize("name", ["litellm", "installs"])
def test_both_ends_are_checked(name: str) -> None:
    assert workflow(name)["jobs"]["check"]["strategy"]["matrix"]["end"] == ["lowest", "newest"]


def test_the_lowest_and_the_newest_set_are_checked_every_week_and_by_hand() -> None:
    assert set(workflow("installs")["on"]) == {"schedule", "workflow_dispatch"}
    (command,) = [step["run"] for step in workflow("installs")["jobs"]["check"]["steps"] if "run" in step]
    scripts = [command.split()[1].strip('"').replace("$END", end) for end in ("lowest", "newest")]
    assert all((ROOT / script).is_file() for script in scripts)


def test_actions_are_pinned_and_githubs_own() -> None:
    used = [step["uses"] for step in all_steps() if "uses" in step]
    assert len(used) > 8
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+(/restore)?@v\d+", name)] == []


def test_boards_count_again_with_public_tokenizers() -> None:
    commands = [step["run"] for step in all_steps() if "roi-bench leaderboard " in step.get("run", "")]
    made = [command for command in commands if "leaderboard review" in command or "leaderboard build" in command]
    assert len(made) == 2
    assert all("--recount" in command for command in made)


def test_no_expression_stands_in_a_shell_command() -> None:
    commands = [step["run"] for step in all_steps() if "run" in step]
    assert len(commands) > 5
    assert [command for command in commands if "${{" in command] == []


def test_rights_are_as_small_as_can_be() -> None:
    comment, board = workflow("leaderboard_comment"), workflow("leaderboard")
    wanted = {file.stem: READ_ONLY for file in FILES} | {"leaderboard_comment": {}}
    assert {file.stem: workflow(file.stem)["permissions"] for file in FILES} == wanted
    assert "permissions" not in board["jobs"]["check"]
    assert comment["jobs"]["comment"]["permissions"] == {"actions": "read", **READ_ONLY, "pull-requests": "write"}
    assert board["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert board["jobs"]["build"]["permissions"] == {**READ_ONLY, "pages": "read"}
    checkouts = [step for step in all_steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_jobs_of_a_pull_request_have_no_secrets_and_run_the_boards_own_code() -> None:
    for file in FILES:
        assert "pull_request_target" not in workflow(file.stem)["on"]
        assert "secrets." not in file.read_text(encoding="utf-8")
    check = steps("leaderboard", "check")
    assert check["actions/checkout"]["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert "ref" not in steps("leaderboard_comment", "comment")["actions/checkout"].get("with", {})


def shell(name: str, step: dict[str, Any], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: its expressions are given by their values, all else is the file's."""
    assert workflow(name)["defaults"] == {"run": {"shell": "bash"}}
    assert set(step.get("env", {})) <= set(variables), "an expression without a value"
    path = f"{folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **workflow(name)["env"], **variables, "PATH": path}
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A clone of a board's repository, and beside it the repository; its pull request 7 alters a submission."""
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    git(upstream, "init", "--quiet", "--initial-branch", "main")
    write(upstream, f"{BOARD}/{OLD}/submission.json")
    commit_all(upstream)
    git(tmp_path, "clone", "--quiet", str(upstream), "clone")
    write(upstream, f"{BOARD}/{OLD}/submission.json", "altered\n")
    write(upstream, f"{BOARD}/{NEW}/submission.json")
    git(upstream, "checkout", "--quiet", "-b", "theirs")
    git(upstream, "update-ref", "refs/pull/7/head", commit_all(upstream))
    git(upstream, "checkout", "--quiet", "main")
    return tmp_path / "clone"


def test_a_pull_request_is_fetched_checked_and_handed_on(board: Path) -> None:
    check = steps("leaderboard", "check")
    head = git(board.parent / "upstream", "rev-parse", "refs/pull/7/head")
    done = shell("leaderboard", check["Fetch the pull request"], board, NUMBER="7")
    assert (done.returncode, done.stderr) == (0, "")
    summary = board.parent / "summary"
    variables = {"NUMBER": "7", "HEAD": head, "GITHUB_STEP_SUMMARY": str(summary)}
    done = shell("leaderboard", check["Check and grade"], board, **variables)
    assert done.returncode == 5, done.stderr  # pipefail: the exit code is not that of tee
    assert f"{BOARD}/{OLD}/submission.json" in done.stdout
    assert summary.read_text() == done.stdout
    assert (board / "review" / "number").read_text() == "7\n"
    assert f"{BOARD}/{OLD}/submission.json" in json.loads((board / "review" / "review.json").read_text())["problem"]
    assert git(board, "status", "--porcelain", "--", "leaderboard") == ""  # nothing of it was checked out


def test_the_check_of_every_pull_request_ends_and_only_submissions_cost_time(board: Path) -> None:
    """A rule that requires the check would keep what a filter of paths leaves out waiting for ever."""
    triggers = workflow("leaderboard")["on"]
    assert triggers["pull_request"] is None
    assert triggers["push"]["paths"]
    check = steps("leaderboard", "check")
    before = ["actions/checkout", "Fetch the pull request", "Look for submissions"]
    assert list(check)[:3] == before
    assert [step.get("if") for step in check.values()][:3] == [None] * 3
    touched = "steps.look.outputs.submissions == 'yes'"
    later = {name: step["if"] for name, step in check.items() if name not in before}
    assert later.pop("Hand on what came of it") == f"always() && {touched}"
    assert set(later.values()) == {touched}
    comment = list(steps("leaderboard_comment", "comment").values())
    assert (comment[0]["id"], comment[0].get("if")) == ("look", None)
    assert {step["if"] for step in comment[1:]} == {"steps.look.outputs.reviews != '0'"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"{BOARD}/{NEW}/submission.json", "yes"),
        (f"{BOARD}/{NEW}/deep/er/a b", "yes"),
        (f"{BOARD}/reviews.json", "no"),
        ("README.md", "no"),
        (f"docs/{BOARD}/{NEW}/submission.json", "no"),
    ],
)
def test_a_pull_request_without_submissions_is_done_at_once(board: Path, path: str, found: str) -> None:
    upstream = board.parent / "upstream"
    write(upstream, path, "of a pull request\n")
    git(upstream, "checkout", "--quiet", "-b", "another")
    head = commit_all(upstream)
    git(upstream, "update-ref", "refs/pull/8/head", head)
    check, output, summary = steps("leaderboard", "check"), board.parent / "output", board.parent / "summary"
    assert shell("leaderboard", check["Fetch the pull request"], board, NUMBER="8").returncode == 0
    variables = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    done = shell("leaderboard", check["Look for submissions"], board, HEAD=head, **variables)
    assert (done.returncode, output.read_text()) == (0, f"submissions={found}\n"), done.stderr
    assert summary.exists() == (found == "no")


def test_a_pull_request_that_cannot_be_looked_at_is_checked(board: Path) -> None:
    output = board.parent / "output"
    step = steps("leaderboard", "check")["Look for submissions"]
    variables = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(board.parent / "summary")}
    assert shell("leaderboard", step, board, HEAD=HEAD, **variables).returncode == 0
    assert output.read_text() == "submissions=yes\n"


GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>calls
case "$*" in
  *pulls/*) echo "$ACTUAL" ;;
  *--paginate*) printf '%s' "$OURS" ;;
  *--method*) cp comment.md posted ;;
esac
"""


@pytest.fixture
def handed_on(tmp_path: Path) -> Path:
    """A folder with an artifact and a command `gh` that notes its calls."""
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    review = {"format": "roi-bench-review", "format_version": 2, "problem": "<b>@all", "submissions": []}
    write(tmp_path, "review/review.json", json.dumps(review))
    write(tmp_path, "review/number", "7\n")
    return tmp_path


def comment(folder: Path, actual: str = HEAD, ours: str = "") -> subprocess.CompletedProcess[str]:
    step = steps("leaderboard_comment", "comment")["Comment"]
    variables = {"GH_TOKEN": "t", "REPOSITORY": "o/r", "CHECKED": HEAD, "REVIEW": "review", "ACTUAL": actual}
    variables |= {"OURS": ours}
    return shell("leaderboard_comment", step, folder, **variables)


@pytest.mark.parametrize(
    ("ours", "written"),
    [("", "POST repos/o/r/issues/7/comments"), ("11\n12\n", "PATCH repos/o/r/issues/comments/12")],
    ids=["first", "again"],
)
def test_what_was_found_is_commented_once(handed_on: Path, ours: str, written: str) -> None:
    done = comment(handed_on, ours=ours)
    assert (done.returncode, done.stderr) == (0, "roi-bench: loading numpy …\n")
    marker, *text = (handed_on / "posted").read_text().splitlines()
    assert marker == "<!-- roi-bench review -->"
    assert any("`<b>@all`" in line for line in text)  # in code, so that it is no mention
    asked, listed, posted = (handed_on / "calls").read_text().splitlines()
    assert asked == "api repos/o/r/pulls/7 --jq .head.sha"
    assert listed.startswith("api --paginate repos/o/r/issues/7/comments --jq ")
    assert f'startswith("{marker}")' in listed  # never another workflow's comment
    assert posted == f"api --silent --method {written} --field body=@comment.md"


@pytest.mark.parametrize(
    "number", ["", "7; touch owned", "$(touch owned)", "-7", "07", "9" * 40, "7\n8", "../../x", "７"]
)
def test_a_number_that_is_none_is_refused(handed_on: Path, number: str) -> None:
    write(handed_on, "review/number", number)
    done = comment(handed_on)
    assert done.returncode == 1
    assert "pull request" in done.stderr
    assert not (handed_on / "calls").exists()
    assert not (handed_on / "owned").exists()


def test_the_number_of_somebody_elses_pull_request_is_refused(handed_on: Path) -> None:
    done = comment(handed_on, actual="f" * 40)
    assert done.returncode == 1
    assert shown_in(done.stderr, "pull request 7")
    assert not (handed_on / "posted").exists()


def test_a_review_that_was_tampered_with_is_not_commented(handed_on: Path) -> None:
    write(handed_on, "review/review.json", "# [click](http://evil)")
    done = comment(handed_on)
    assert done.returncode == 5
    assert not (handed_on / "posted").exists()
