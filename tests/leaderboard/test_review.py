"""A pull request from its commits to the comment on it: accepted, refused, tampered with; on a throwaway repository."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.cli.leaderboard import leaderboard
from roi_bench.errors import RecordError
from roi_bench.leaderboard import review as added_folders
from roi_bench.leaderboard.board.gather import GradingOptions, grade_one
from roi_bench.leaderboard.review import is_accepted, review_change
from roi_bench.leaderboard.review_comment import LONGEST_COMMENT, comment_text, read_review
from roi_bench.leaderboard.submission.response_files import lengths_of
from tests.leaderboard.made_submissions import MadeTask, made_submission, tampered, tiny_counter
from tests.support.git_repository import commit_all, git
from tests.support.messages import missing

BOARD = "board/submissions"


@pytest.fixture(scope="module")
def submission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole submission that passes."""
    return made_submission(tmp_path_factory.mktemp("made") / "submissions", model="made-up/`model` @everyone | #1")


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_submission(tmp_path_factory.mktemp("drafts") / "submissions", (MadeTask(exams=30),))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with an empty board on branch main; the branch ``change`` is checked out."""
    folder = tmp_path / "repository"
    (folder / BOARD).mkdir(parents=True)
    (folder / BOARD / "board.json").write_text("{}")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit_all(folder)
    git(folder, "checkout", "--quiet", "-b", "change")
    return folder


def add(repository: Path, folder: Path) -> str:
    shutil.copytree(folder, repository / BOARD / folder.name)
    return commit_all(repository)


def test_what_passes_is_graded_and_told(repository: Path, submission: Path, tmp_path: Path) -> None:
    add(repository, submission)
    out = tmp_path / "new" / "review.json"
    arguments = ["review", BOARD, "--base", "main", "--head", "change", "--repository", str(repository)]
    done = CliRunner().invoke(leaderboard, [*arguments, "--out", str(out), "--workers", "1"], standalone_mode=False)
    assert (done.exception, done.return_value) == (None, 0)
    review = read_review(out.read_bytes(), "review.json")
    (found,) = review["submissions"]
    assert (found["folder"], found["refused"], review["problem"]) == (submission.name, None, None)
    (run,) = found["runs"]
    assert (run["task"], run["exams"]) == ("roi_tiny_hard_128", 480)
    assert 0 < run["score"][1] < run["score"][0] < run["score"][2] < 3
    assert f"| `roi_tiny_hard_128` | 480 | {run['score'][0]:.2f} (" in done.output
    assert re.search(r"`made-up/ʼmodelʼ @everyone ¦ #1` .*\*regraded\*", done.output)
    printed = CliRunner().invoke(leaderboard, ["comment", str(out)], standalone_mode=False)
    assert printed.output == done.output


def test_an_altered_response_a_draft_and_a_dangling_correction_are_refused(
    repository: Path, submission: Path, draft: Path, tmp_path: Path
) -> None:
    def alter(rows: list[dict[str, Any]]) -> None:
        rows[7]["requests"][0][0]["text"] += " \\boxed{1}"

    altered = tampered(submission, tmp_path / "altered", rows=alter, consistent=False)
    (tmp_path / "altered" / "altered-000000000000").mkdir()
    shutil.copytree(altered, tmp_path / "altered" / "altered-000000000000", dirs_exist_ok=True)
    correction = tampered(
        submission,
        tmp_path / "correction",
        document=lambda content: content.update(replaces="gone-000000000000", reason="because"),
    )
    for folder in (tmp_path / "altered" / "altered-000000000000", draft, correction):
        add(repository, folder)
    review = review_change(repository, BOARD, "main", "change", workers=1)
    assert not is_accepted(review)
    reasons = {one["folder"]: one["refused"] for one in review["submissions"]}
    assert missing([altered.name], reasons["altered-000000000000"]) == []
    assert missing(["--draft"], reasons[draft.name]) == []
    assert missing(["corrects gone-000000000000"], reasons[correction.name]) == []
    assert comment_text(review).count("**Refused**") == 3


def stand(repository: Path, folder: Path) -> None:
    """Put a submission on the board of branch main; ``change`` goes on from there."""
    git(repository, "checkout", "--quiet", "main")
    add(repository, folder)
    git(repository, "checkout", "--quiet", "-B", "change")


def reviewed(repository: Path) -> dict[str, str | None]:
    """Return why each submission of the change is refused, None where it is not, by folder."""
    review = review_change(repository, BOARD, "main", "change", workers=1)
    assert review["problem"] is None
    return {one["folder"]: one["refused"] for one in review["submissions"]}


def corrected(old: Path, out: Path, by: Path | None = None, **changes: Any) -> Path:
    """Return a correction of ``old`` with the responses of ``by``, or its own; ``changes``: metadata."""

    def correct(content: dict[str, Any]) -> None:
        content.update(replaces=old.name, reason="because")
        content["metadata"].update(changes)

    return tampered(by or old, out, document=correct)


def test_responses_that_are_on_the_board_or_in_the_change_are_told_and_refuse_nothing(
    repository: Path, submission: Path, tmp_path: Path
) -> None:
    """An honest greedy run of the same weights gives them too: people decide."""

    def somebody_else(content: dict[str, Any]) -> None:
        content["metadata"].update(model="somebody/else", date="2026-01-01", contact="somebody@else.example")

    padded = tampered(submission, tmp_path / "padded", document=somebody_else, rows=lambda rows: rows.reverse())
    again = tampered(submission, tmp_path / "again", document=lambda content: content["metadata"].update(version="2"))
    stand(repository, submission)
    for folder in (padded, again, corrected(submission, tmp_path / "correction")):
        add(repository, folder)
    for cache in (None, tmp_path / "cache"):
        if cache is not None:
            for folder in (repository / BOARD).glob("made-up-*"):
                grade_one(folder, GradingOptions(cache=cache, drafts=True))
        review = review_change(repository, BOARD, "main", "change", workers=1, cache=cache)
        assert is_accepted(review)
        told = {one["folder"]: [text for text in one["remarks"] if "960" in text] for one in review["submissions"]}
        assert missing([submission.name, again.name, "another contact", "another name"], told[padded.name][0]) == []
        assert missing([submission.name, padded.name, "the same contact"], told[again.name][0]) == []
        assert all(len(texts) == 1 for texts in told.values())
        assert told[padded.name][0].partition(":")[0] in comment_text(review)


def test_a_correction_that_the_board_would_refuse_is_refused(
    repository: Path, submission: Path, tmp_path: Path
) -> None:
    """The one on the board came first, whatever dates they bear; and it is not undone by a second one."""
    first = corrected(submission, tmp_path / "first", notes="first")
    second = corrected(submission, tmp_path / "second", notes="second", date="2026-11-24")
    chain = corrected(first, tmp_path / "chain", notes="third")
    other = corrected(first, tmp_path / "other", model="other/model")
    younger = corrected(first, tmp_path / "younger", date="2026-11-23")
    on_refused = corrected(second, tmp_path / "on-refused", notes="fifth")
    stand(repository, submission)
    stand(repository, first)
    for folder in (second, chain, on_refused):
        add(repository, folder)
    found = reviewed(repository)
    assert missing([f"corrects {submission.name}", first.name], str(found[second.name])) == []
    assert found[chain.name] is None
    assert missing([f"corrects {second.name}"], str(found[on_refused.name])) == []
    git(repository, "checkout", "--quiet", "-B", "change", "main")
    for folder in (other, younger):
        add(repository, folder)
    found = reviewed(repository)
    assert missing([f"corrects {first.name}", "other/model"], str(found[other.name])) == []
    assert missing([f"corrects {first.name}", "2026-11-23"], str(found[younger.name])) == []


def test_what_was_withdrawn_is_not_corrected(repository: Path, submission: Path, tmp_path: Path) -> None:
    stand(repository, submission)
    git(repository, "checkout", "--quiet", "main")
    entry = {"submission": submission.name, "badge": "withdrawal", "by": "Us", "date": "2026-11-25", "reason": "Wrong."}
    (repository / BOARD / "reviews.json").write_text(json.dumps([entry]))
    commit_all(repository)
    git(repository, "checkout", "--quiet", "-B", "change")
    correction = corrected(submission, tmp_path / "correction")
    add(repository, correction)
    assert missing([f"corrects {submission.name}", "withdrawn"], str(reviewed(repository)[correction.name])) == []


def test_an_archived_run_is_corrected_by_one_of_today_and_none_joins_it(
    repository: Path, submission: Path, tmp_path: Path
) -> None:
    def older(content: dict[str, Any]) -> None:
        content["tasks"][0]["prompt_sha256"] = "ef9661eee9ef02c2fdf0aba2f43bb25fa551f6aa46aa36f5c8ff4125a2fd3d80"

    archived = tampered(submission, tmp_path / "archived", document=older)
    stand(repository, archived)
    today = corrected(archived, tmp_path / "today", by=submission)
    late = tampered(archived, tmp_path / "late", document=lambda content: content["metadata"].update(notes="late"))
    for folder in (today, late):
        add(repository, folder)
    review = review_change(repository, BOARD, "main", "change", workers=1)
    found = {one["folder"]: one for one in review["submissions"]}
    assert missing(["prompt version 1", "run again"], found[late.name]["refused"]) == []
    assert found[today.name]["refused"] is None
    assert found[today.name]["correction"]["of"] == archived.name
    assert any(text.startswith("roi_tiny_hard_128: score ") for text in found[today.name]["correction"]["changes"])


def nothing_answered(rows: list[dict[str, Any]]) -> None:
    text = "".join(f"### Problem {k}\n\\boxed{{NA}}\n" for k in (1, 2, 3))
    lengths = lengths_of(tiny_counter().token_starts(text))
    usage = {"tokens": len(lengths) + 1, "finish_reason": "stop", "source": "generated"}
    for row in rows:
        for samples in row["requests"]:
            samples[0].update(text=text, token_lengths=list(lengths), usage=usage)


def test_a_strangers_correction_shows_what_it_would_take_over(
    repository: Path, submission: Path, tmp_path: Path
) -> None:
    stand(repository, submission)
    (repository / BOARD / "reviews.json").write_text(
        json.dumps([{"submission": submission.name, "badge": "maintainer-run", "by": "Us", "date": "2026-11-25"}])
    )
    git(repository, "checkout", "--quiet", "main")
    commit_all(repository)
    git(repository, "checkout", "--quiet", "-B", "change")
    stranger = tampered(
        corrected(submission, tmp_path / "a", contact="evil@example.org", organisation="Evil"),
        tmp_path / "b",
        rows=nothing_answered,
    )
    add(repository, stranger)
    review = review_change(repository, BOARD, "main", "change", workers=1)
    assert is_accepted(review)
    (found,) = review["submissions"]
    correction = found["correction"]
    assert (correction["of"], correction["badge"]) == (submission.name, "maintainer-run")
    assert correction["contact"] == "nobody@example.org"
    assert correction["changes"][:2] == [
        "contact: 'nobody@example.org' → 'evil@example.org'",
        "organisation: nothing → 'Evil'",
    ]
    assert re.fullmatch(r"roi_tiny_hard_128: score [12]\.\d\d → 0\.00, .*tokens \d+ → \d+", correction["changes"][-1])
    comment = comment_text(read_review(json.dumps(review).encode(), "f"))
    facts = [submission.name, "maintainer-run", "nobody@example.org", "evil@example.org", "→ 0.00"]
    assert missing(facts, comment) == []


def test_what_is_damaged_on_the_board_hinders_nobody(repository: Path, submission: Path) -> None:
    git(repository, "checkout", "--quiet", "main")
    (repository / BOARD / "broken-0123456789ab").mkdir()
    (repository / BOARD / "broken-0123456789ab" / "submission.json").write_text("[" * 99)
    commit_all(repository)
    git(repository, "checkout", "--quiet", "-B", "change")
    add(repository, submission)
    assert reviewed(repository) == {submission.name: None}


def test_a_change_of_anything_else_is_refused_as_a_whole(repository: Path, submission: Path) -> None:
    (repository / BOARD / "board.json").write_text('{"title": "mine"}')
    add(repository, submission)
    done = CliRunner().invoke(
        leaderboard, ["review", BOARD, "--base", "main", "--repository", str(repository)], standalone_mode=False
    )
    assert done.return_value == RecordError.exit_code
    assert re.search(rf"\*\*Refused\*\*: `.*{BOARD}/board\.json", done.output)


def test_one_that_is_too_large_leaves_the_others_alone(
    repository: Path, submission: Path, draft: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(repository, submission)
    add(repository, draft)
    size = sum(path.stat().st_size for path in draft.iterdir())
    monkeypatch.setattr(added_folders, "FOLDER_BYTES", size)
    reasons = {
        one["folder"]: one["refused"] for one in review_change(repository, BOARD, "main", "change")["submissions"]
    }
    assert missing([size], reasons[submission.name]) == []
    assert missing(["draft"], reasons[draft.name]) == []


def review(**changes: Any) -> dict[str, Any]:
    run = {"task": "t", "exams": 480, "score": [1.0, 0.9, 1.1], "regret": [None] * 3, "tokens": 70.0}
    one = {"folder": "a-0", "refused": None, "model": "m", "correction": None, "remarks": [], "runs": [run]}
    whole = {"format": "roi-bench-review", "format_version": 2, "problem": None, "submissions": [one]}
    for path, value in changes.items():
        at: Any = {"whole": whole, "one": one, "run": run}[path.split("__")[0]]
        at[path.split("__")[1]] = value
    return whole


def test_a_healthy_review_reads_as_it_was_written() -> None:
    assert read_review(json.dumps(review()).encode(), "f") == review()
    assert "| `t` | 480 | 1.00 (0.90 to 1.10) | – | 70 |" in comment_text(review())


@pytest.mark.parametrize(
    "content",
    [
        review(whole__format="another"),
        review(whole__format_version=1),
        review(whole__more=1),
        review(whole__problem=["x"]),
        review(whole__submissions={}),
        review(whole__submissions=[1]),
        review(one__model=3),
        review(one__remarks=[{"a": 1}]),
        review(one__runs=[None]),
        review(one__correction="a"),
        review(one__correction={"of": "a"}),
        review(one__correction={"of": "a", "badge": "b", "contact": "c", "changes": [1]}),
        review(run__exams="480 | <b>"),
        review(run__exams=True),
        review(run__score=[1, 2]),
        review(run__score=["<img src=x>", None, None]),
        review(run__tokens="many"),
        review(run__tokens=1e300),
        [[[[[[[[[[]]]]]]]]]],
        "text",
    ],
    ids=repr,
)
def test_a_review_of_another_shape_is_refused(content: object) -> None:
    with pytest.raises(RecordError):
        read_review(json.dumps(content).encode(), "review.json")


def test_a_review_that_is_too_large_is_refused() -> None:
    with pytest.raises(RecordError, match=r"review\.json.*1048576"):
        read_review(json.dumps(review(whole__problem="x" * (1 << 20))).encode(), "review.json")


HOSTILE = "](http://evil) @everyone #1 <img src=x> `|`\n| a | b |\n# title\n```\n\u202e![x](y)"


def test_a_strangers_text_is_code_on_one_line_wherever_it_stands() -> None:
    fields = {f"one__{name}": HOSTILE for name in ("folder", "model")}
    correction = {"of": HOSTILE, "badge": HOSTILE, "contact": HOSTILE, "changes": [HOSTILE]}
    text = comment_text(review(**fields, one__correction=correction, one__remarks=[HOSTILE], run__task=HOSTILE))
    text += comment_text(review(one__refused=HOSTILE)) + comment_text(review(whole__problem=HOSTILE))
    outside = "".join(part for line in text.splitlines() for part in line.split("`")[::2])
    assert text.count("`") % 2 == 0
    for piece in ("evil", "everyone", "img", "title", "![", "\u202e"):
        assert piece not in outside
    assert all(line.count("`") % 2 == 0 for line in text.splitlines())
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {6}


def test_a_comment_is_no_longer_than_what_is_taken() -> None:
    whole = review()
    whole["submissions"] *= 2000
    text = comment_text(whole)
    assert len(text) <= LONGEST_COMMENT
    assert "cut off" in text.splitlines()[-1].lower()
