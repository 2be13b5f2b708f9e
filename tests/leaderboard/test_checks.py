"""What a forger might change: refused, or computed again from what is there; never believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import ModelError, RecordError
from roi_bench.exams.exam import ORDERS
from roi_bench.exams.sets import EXAM_SETS
from roi_bench.exams.tiny import SHIPPED_MODELS
from roi_bench.leaderboard.board.cache import PACKAGE
from roi_bench.leaderboard.board.grade import grade_submission
from roi_bench.leaderboard.checks.response_rules import shipped_name
from roi_bench.leaderboard.checks.rules import check_submission, content_hash
from roi_bench.leaderboard.submission.schema import LINKS
from roi_bench.records.results import KEYS, SENT_AS
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.prompts import prompt_sha256
from tests.leaderboard.made_submissions import SOLO, MadeTask, made_submission, tampered
from tests.support.messages import missing, shows

TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole submission of one task, with the numbers that its own run claims."""
    out = tmp_path_factory.mktemp("whole") / "submissions"
    return made_submission(out, numbers={"roi_tiny_hard_128": {"score": score_of(made_submission(out))}})


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draft of an exam task, a knapsack task and a solo task with costs."""
    tasks = [
        MadeTask(exams=4, usd=1e-5, repeats=2, temperature=0.5),
        MadeTask(exams=4, prompt="greedy_knapsack", order="medium", attempts=(True, True, True)),
        MadeTask(**{**{f: getattr(SOLO, f) for f in ("order", "prompt", "skill", "attempts", "budget")}, "exams": 4}),
    ]
    return made_submission(tmp_path_factory.mktemp("draft") / "submissions", tasks, model="made-up/draft")


def score_of(folder: Path) -> float:
    graded, _ = grade_submission(check_submission(folder), workers=1)
    value = graded.runs[0].numbers["score"].value
    assert value is not None
    return value


def text_of(row: dict[str, Any], request: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = row["requests"][request][0]
    return found


def solve_the_hard_one(rows: list[dict[str, Any]]) -> None:
    text_of(rows[0])["text"] = text_of(rows[0])["text"].replace("NA", "29", 1)  # it was skipped; 29 is right


def solve_it_in_words(rows: list[dict[str, Any]]) -> None:
    text_of(rows[0])["text"] = text_of(rows[0])["text"].replace("NA", "29.00", 1)


def test_a_whole_submission_passes_and_its_claims_are_what_was_found(whole: Path) -> None:
    checked = check_submission(whole, today=TODAY)
    assert (checked.submission.id, checked.recounted, checked.remarks) == (whole.name, True, ())
    assert checked.content == content_hash(whole)
    assert checked.bytes == sum(path.stat().st_size for path in whole.iterdir())
    (task,) = checked.tasks
    assert (len(task.documents), task.values, task.model) == (480, {}, "made-up/model")
    graded, _ = grade_submission(checked, workers=1)
    assert graded.remarks == ()


def test_one_altered_response_breaks_the_hash_of_its_file(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"roi_tiny_hard_128\.jsonl\.gz.*SHA-256"):
        check_submission(tampered(whole, tmp_path, rows=solve_the_hard_one, consistent=False))


def test_one_altered_response_with_hashes_put_right_has_other_tokens(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"\d+ characters.*\d+ tokens.*roi-bench:tiny_model.*\d+"):
        check_submission(tampered(whole, tmp_path, rows=solve_it_in_words))


def test_one_altered_response_with_all_put_right_is_another_submission_with_its_own_numbers(
    whole: Path, tmp_path: Path
) -> None:
    forged = tampered(whole, tmp_path, rows=solve_the_hard_one)
    assert forged.name != whole.name
    graded, _ = grade_submission(check_submission(forged), workers=1)
    assert graded.runs[0].numbers["score"].value == pytest.approx(score_of(whole) + 1 / 480)
    assert [remark.rule for remark in graded.remarks] == ["claims"]


def test_one_removed_exam(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="SHA-256"):
        check_submission(tampered(whole, tmp_path / "a", rows=lambda rows: rows.pop(17), consistent=False))
    with pytest.raises(RecordError, match=r"1 of 480 exams.*tiny/0/017"):
        check_submission(tampered(whole, tmp_path / "b", rows=lambda rows: rows.pop(17)))

    def twice(rows: list[dict[str, Any]]) -> None:
        rows[17] = {**rows[17], "id": "tiny/0/016"}

    with pytest.raises(RecordError, match="gz:18: tiny/0/016"):
        check_submission(tampered(whole, tmp_path / "c", rows=twice))


def test_a_claimed_score_raised_is_told_and_not_believed(whole: Path, tmp_path: Path) -> None:
    def claim(document: dict[str, Any]) -> None:
        document["claimed"]["roi_tiny_hard_128"]["score"] = 2.99

    with pytest.raises(RecordError, match=rf"{whole.name}.*made-up-model-"):
        check_submission(tampered(whole, tmp_path / "a", document=claim, consistent=False))
    graded, _ = grade_submission(check_submission(tampered(whole, tmp_path / "b", document=claim)), workers=1)
    assert graded.runs[0].numbers["score"].value == score_of(whole)
    (remark,) = graded.remarks
    assert remark.rule == "claims"
    assert missing(["roi_tiny_hard_128", "score 2.99"], remark.text) == []


def test_one_overlong_response(whole: Path, tmp_path: Path) -> None:
    def spend(rows: list[dict[str, Any]]) -> None:
        text_of(rows[3])["usage"]["tokens"] = 129

    def write_more(rows: list[dict[str, Any]]) -> None:
        one = text_of(rows[3])
        one["text"] += "\n" + "7 " * 200
        one["token_lengths"] += [1] * 200

    def write_more_and_count_less(rows: list[dict[str, Any]]) -> None:
        one = text_of(rows[3])
        one["text"] += "\n" + "7 " * 200
        one["token_lengths"] += [20] * 20
        one["usage"]["tokens"] = 128

    for name, change, facts in (
        ("a", spend, "tiny/0/003.*129 tokens.*128"),
        ("b", write_more, r"tiny/0/003.*2\d\d tokens.*128"),
        ("c", write_more_and_count_less, r"\d+ characters.*\d+ tokens.*roi-bench:tiny_model.*\d+"),
    ):
        with pytest.raises(RecordError, match=facts):
            check_submission(tampered(whole, tmp_path / name, rows=change))


def unknown_tokens(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for request in (0, 1):
            text_of(row, request).update(token_lengths=None, usage=None)


def no_tokenizer(document: dict[str, Any]) -> None:
    document["tasks"][0].update(tokenizer=None, skip_token_lengths=None)


def test_unknown_tokens_cannot_hide_an_overlong_response(whole: Path, tmp_path: Path) -> None:
    folder = tampered(whole, tmp_path, rows=unknown_tokens, document=no_tokenizer)
    with pytest.raises(RecordError, match=shows("tokens", 960)):
        check_submission(folder)


def test_a_response_that_could_not_be_had(whole: Path, tmp_path: Path) -> None:
    def lose(rows: list[dict[str, Any]]) -> None:
        text_of(rows[0]).update(text=None, token_lengths=None, usage=None)

    with pytest.raises(RecordError, match=shows("missing", 1)):
        check_submission(tampered(whole, tmp_path / "a", rows=lose))

    def hide(rows: list[dict[str, Any]]) -> None:  # the whole budget went into hidden reasoning: that is an outcome
        text_of(rows[0]).update(text=None, token_lengths=None)

    assert (
        check_submission(tampered(whole, tmp_path / "b", rows=hide)).tasks[0].documents[0].requests[0][0].text is None
    )


def test_tokens_that_only_the_submitter_can_count_are_told(whole: Path, tmp_path: Path) -> None:
    def rename(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda document: document["tasks"][0].update(tokenizer=name)

    for name in ("local:mine", "Qwen/Qwen1.5-0.5B-Chat"):
        checked = check_submission(tampered(whole, tmp_path / name[:5], document=rename(name)))
        assert not checked.recounted
        assert (checked.remarks[0].rule, missing([name], checked.remarks[0].text)) == ("tokens", [])
    with pytest.raises(RecordError, match=r"submission\.json: tasks\[0\]\.tokenizer"):
        check_submission(tampered(whole, tmp_path / "d", document=rename("../../etc")))
    with pytest.raises(RecordError, match="no tokenizer"):
        check_submission(tampered(whole, tmp_path / "e", document=no_tokenizer))


def test_a_tokenizer_that_cannot_be_had_or_used_refuses_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is a stranger's, the network may be down: no build may end with it."""
    from roi_bench.leaderboard.board.gather import GradingOptions, grade_one
    from roi_bench.leaderboard.checks import response_rules as recount

    class Failing:
        def token_starts(self, text: str) -> list[int]:
            raise RuntimeError(f"no tokens for {text}")

    def unknown(name: str, **_: Any) -> object:
        raise ModelError(f"cannot load tokenizer {name!r}: no such host")

    folder = tampered(whole, tmp_path, document=set_task(tokenizer="made-up/tokenizer"))
    for load in (unknown, lambda *_, **__: Failing()):
        monkeypatch.setattr(recount, "load_token_counter", load)
        found = grade_one(folder, GradingOptions(recount=True)).graded
        assert found is not None
        assert not found.recounted
        told, fewer = (remark.text for remark in found.remarks if remark.rule == "tokens")
        assert missing(["roi_tiny_hard_128", "made-up/tokenizer"], told) == []
        assert missing(["roi_tiny_hard_128", "deepseek-v3"], fewer) == []  # the shipped tokenizer is a frugal one


def test_usage_counted_from_the_text_is_what_the_text_has(whole: Path, tmp_path: Path) -> None:
    def count_from_text(more: int) -> Callable[[list[dict[str, Any]]], None]:
        def change(rows: list[dict[str, Any]]) -> None:
            one = text_of(rows[3])
            one["usage"] = {
                "tokens": len(one["token_lengths"]) + more,
                "finish_reason": "stop",
                "source": "retokenized",
            }

        return change

    for k, more in enumerate((0, 1)):
        check_submission(tampered(whole, tmp_path / f"{k}", rows=count_from_text(more)))
    for k, more in enumerate((-1, 2), start=2):
        with pytest.raises(RecordError, match=r"tiny/0/003.*\d+ tokens.*\d+"):
            check_submission(tampered(whole, tmp_path / f"{k}", rows=count_from_text(more)))


def test_a_long_response_claims_no_few_tokens(whole: Path, tmp_path: Path) -> None:
    """Just below 64 tokens, where nothing but the longest token counted once."""

    def write(text: str, tokens: int) -> Callable[[list[dict[str, Any]]], None]:
        def change(rows: list[dict[str, Any]]) -> None:
            for row in rows:
                for request in (0, 1):
                    text_of(row, request)["token_lengths"] = None
            one = text_of(rows[3])
            one.update(text=text, usage={**one["usage"], "tokens": tokens, "finish_reason": "stop"})

        return change

    words = "".join(f"{k * 7919 % 99991} " for k in range(3000))
    with pytest.raises(RecordError, match=r"tiny/0/003.*12000 characters.*63 tokens"):
        check_submission(tampered(whole, tmp_path / "a", rows=write(words[:12000], 63), document=no_tokenizer))
    loop = " internationalization" * 57  # 1,197 characters, one token each word
    folder = tampered(whole, tmp_path / "b", rows=write(loop, 63), document=no_tokenizer)
    told = [remark.text for remark in check_submission(folder).remarks]
    assert any(missing(["roi_tiny_hard_128", 1, "10 characters per token"], one) == [] for one in told)


def test_a_repeated_line_that_is_one_token_passes_where_it_is_counted_again(tmp_path: Path) -> None:
    tag = "<predicted_level>Level-3</predicted_level>\n"
    task = MadeTask(exams=3, prompt="metacognitive", text=lambda _, text: tag * 40 + text)
    folder = made_submission(tmp_path / "made", [task], draft=True)
    assert [remark.rule for remark in check_submission(folder).remarks] == ["draft"]
    local = tampered(folder, tmp_path / "local", document=set_task(tokenizer="local:mine"))
    with pytest.raises(RecordError, match=r"tiny/0/00\d.*\d+ characters.*\d+ tokens"):
        check_submission(local)


def test_what_was_counted_again_is_not_called_unusual(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roi_bench.leaderboard.submission.response_files.UNUSUAL_OF_ONE", 0)
    assert check_submission(whole).remarks == ()
    local = tampered(whole, tmp_path, document=set_task(tokenizer="local:mine"))
    assert [remark.rule for remark in check_submission(local).remarks] == ["unusual tokens", "tokens", "tokens"]


def test_a_cost_that_is_not_the_sum_of_its_responses_is_told(draft: Path, tmp_path: Path) -> None:
    checked = check_submission(draft)
    exam = next(task for task in checked.tasks if task.record.repeats == 2)
    spent = [one for costs in checked.usd[exam.name].values() for samples in costs for one in samples]
    total = sum(one for one in spent if one is not None)
    same = check_submission(tampered(draft, tmp_path / "a", document=set_top(usd=total * (1 + 1e-9))))
    assert [remark.rule for remark in same.remarks] == ["draft"]
    other = check_submission(tampered(draft, tmp_path / "b", document=set_top(usd=0.5)))
    assert other.remarks[-1].rule == "cost"
    assert missing(["0.5 USD", f"{total:.6g}"], other.remarks[-1].text) == []


def test_a_tokenizer_named_like_a_folder_here_is_never_loaded(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tampered(whole, tmp_path, document=lambda document: document["tasks"][0].update(tokenizer="trap"))
    (tmp_path / "work" / "trap").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert not check_submission(folder).recounted
    with pytest.raises(RecordError, match="'trap'"):
        check_submission(folder, recount=True)


def test_recount_asks_for_no_remote_code(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from roi_bench.leaderboard.checks import response_rules as recount
    from tests.leaderboard.made_submissions import tiny_counter

    asked: list[tuple[Any, ...]] = []

    def load(name: str, *, revision: str | None, trust_remote_code: bool) -> object:
        asked.append((name, revision, trust_remote_code))
        return tiny_counter()

    change = {"tokenizer": "made-up/tokenizer", "tokenizer_revision": "abc"}
    folder = tampered(whole, tmp_path, document=lambda document: document["tasks"][0].update(change))
    monkeypatch.setattr(recount, "load_token_counter", load)
    assert check_submission(folder, recount=True).recounted
    assert asked == [("made-up/tokenizer", "abc", False)]


@pytest.mark.parametrize(
    ("asked", "submitted", "counts"),
    [
        ("metacognitive", "direct", ["6 of 6", "direct"]),
        ("metacognitive", "metacognitive", []),
        ("direct", "direct", []),
        ("direct", "metacognitive", ["none of 6", "metacognitive"]),
    ],
)
def test_responses_look_like_ones_to_their_prompt(
    tmp_path: Path, asked: str, submitted: str, counts: list[str]
) -> None:
    folder = made_submission(tmp_path / "made", [MadeTask(exams=3, prompt=asked)], draft=True)
    name = MadeTask(prompt=submitted).name

    def rename(document: dict[str, Any]) -> None:
        task = document["tasks"][0]
        task.update(name=name, file=f"{name}.jsonl.gz", prompt=submitted, prompt_sha256=prompt_sha256(submitted))
        document["claimed"] = {}

    if asked != submitted:
        file = next(folder.glob("*.gz"))
        folder = tampered(folder, tmp_path / "renamed", document=rename)
        (folder / file.name).rename(folder / f"{name}.jsonl.gz")
    told = [remark.text for remark in check_submission(folder).remarks if remark.rule == "prompt"]
    assert len(told) == bool(counts)
    assert all(missing([name, *counts], text) == [] for text in told)


def set_task(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["tasks"][0].update(changes)


def set_metadata(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["metadata"].update(changes)


def set_top(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(changes)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (set_task(exam_version=2), "exam version 2.*1"),
        (set_task(reading_rule=1), "reading rule 1.*2"),
        (lambda document: document["tasks"][0].pop("reading_rule"), "reading rule 1.*2"),
        (set_task(reading_rule=3), "reading rule 3.*2"),
        (set_task(reading_rule="<b>"), "reading rule <b>.*2"),
        (set_task(starts_in_reasoning=None), r"tasks\[0\].starts_in_reasoning.*null"),
        (set_task(think_tags=[["<a>"]]), r"tasks\[0\].think_tags\[0\].*1.*2"),
        (set_task(think_tags=[["<a>", 1]]), r"tasks\[0\].think_tags\[0\]\[1\].*1"),
        (set_task(exams_sha256="0" * 64), "tiny.*000000000000"),
        (set_task(prompt_sha256="0" * 64), "direct.*000000000000"),
        (set_task(prompt="plan_and_solve"), "roi_tiny_hard_128_plan_and_solve.*roi_tiny_hard_128"),
        (set_task(prompt="mine"), "prompt mine.*exam"),
        (set_task(form="knapsack"), "prompt direct.*knapsack"),
        (set_task(budget=1024), "roi_tiny_hard_1024.*roi_tiny_hard_128"),
        (set_task(order="medium"), "roi_tiny_medium_128.*roi_tiny_hard_128"),
        (set_task(order=None), "order None.*exam"),
        (set_task(exam_set="v1"), "seed 0.*v1"),
        (set_task(exam_seed=3), "roi_tiny_hard_128_seed_3.*roi_tiny_hard_128"),
        (set_task(exam_seed=None), "seed None.*tiny"),
        (set_task(decoding={"temperature": 0.7}), r"decoding.*temperature=0\.7.*deviations"),
        (set_task(skip_token_lengths=None), "skip_token_lengths.*tokenizer"),
        (set_task(skip_token_lengths=[0, 1]), "25 characters.*5 tokens.*roi-bench:tiny_model.*2"),
        (set_task(repeats=2), r"\b2\b.*\b2\b"),
        (set_task(documents=479), r"\b479\b"),
        (set_task(documents=481), "480.*481"),
        (set_task(sha256="0" * 64), "000000000000"),
        (set_task(file="roi_tiny_hard_128_other.jsonl.gz"), r"roi_tiny_hard_128_other\.jsonl\.gz"),
        (set_task(file="../roi_x.jsonl.gz"), r"submission\.json: tasks\[0\]\.file"),
        (set_task(file="/etc/passwd"), r"submission\.json: tasks\[0\]\.file"),
        (set_task(name="../x"), r"submission\.json: tasks\[0\]\.name"),
        (set_task(repeats=1.0), r"tasks\[0\]\.repeats.*1\.0"),
        (set_task(repeats=True), r"tasks\[0\]\.repeats.*true"),
        (set_task(documents=10**9), r"submission\.json: tasks\[0\]\.documents"),
        (set_task(extra=1), r"tasks\[0\].*'extra'"),
        (set_task(decoding={"a": {"b": 1}}), r"submission\.json: tasks\[0\]\.decoding"),
        (set_metadata(date="2026-02-30"), "date 2026-02-30"),
        (set_metadata(date="2026-11-26"), "date 2026-11-26.*2026-11-24"),
        (set_metadata(date="24.11.2026"), r"submission\.json: metadata\.date"),
        (set_metadata(date="2026-11-24\n"), r"\bdate\b"),
        (set_metadata(parameters=0), r"metadata\.parameters.*0"),
        (set_metadata(parameters="7B"), r"submission\.json: metadata\.parameters"),
        (set_metadata(model=" "), r"submission\.json: metadata\.model"),
        (set_metadata(model="m" * 121), r"metadata\.model.*121.*120"),
        (set_metadata(model="a\x1b[31mb"), "model.*control"),
        (set_metadata(model="a\u202eb"), "model.*control"),
        (set_metadata(licence="a\nb"), "licence.*control"),
        (set_metadata(notes="x" * 4001), r"submission\.json: metadata\.notes"),
        (set_metadata(contact=None), r"submission\.json: metadata\.contact"),
        (set_metadata(open_weights="yes"), r"submission\.json: metadata\.open_weights"),
        (set_metadata(score=3), "metadata.*'score'"),
        (set_top(software={"a b": "1"}), r"submission\.json: software"),
        (set_top(software={f"p{k}": "1" for k in range(31)}), r"submission\.json: software"),
        (set_top(usd=-1), r"submission\.json: usd"),
        (set_top(usd=True), r"submission\.json: usd"),
        (set_top(tasks=[]), r"submission\.json: tasks"),
        (set_top(draft="no"), r"submission\.json: draft"),
        (set_top(format_version=2), r"submission\.json: format_version"),
        (set_top(replaces="made-up-model-000000000000"), "replaces.*reason"),
        (set_top(reason="why"), "replaces.*reason"),
        (set_top(replaces="../x", reason="why"), r"submission\.json: replaces"),
        (set_top(claimed={"roi_other": {"score": 3}}), "roi_other"),
        (set_top(claimed={"roi_tiny_hard_128": {"score": "3"}}), r"submission\.json: claimed"),
        (set_top(badge="maintainer-run"), "'badge'"),
        (lambda document: document["tasks"].append(document["tasks"][0]), "roi_tiny_hard_128.*twice"),
        (lambda document: document.pop("claimed"), "'claimed'"),
    ],
)
def test_altered_metadata(whole: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], facts: str) -> None:
    with pytest.raises(RecordError, match=facts) as refused:
        check_submission(tampered(whole, tmp_path, document=change), today=TODAY)
    assert len(str(refused.value).replace(str(tmp_path), "")) < 500
    assert "\x1b" not in str(refused.value)


def test_a_day_ahead_passes_since_the_earth_turns(whole: Path, tmp_path: Path) -> None:
    check_submission(tampered(whole, tmp_path, document=set_metadata(date="2026-11-25")), today=TODAY)


def test_a_folder_is_called_by_the_id_and_holds_nothing_else(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "mine")
    with pytest.raises(RecordError, match=f"mine.*{whole.name}"):
        check_submission(tmp_path / "mine")
    copy = tmp_path / whole.name
    shutil.copytree(whole, copy)
    (copy / "README.md").write_text("<script>")
    with pytest.raises(RecordError, match=r"README\.md"):
        check_submission(copy)
    (copy / "README.md").unlink()
    (copy / "roi_tiny_hard_128.jsonl.gz").unlink()
    with pytest.raises(RecordError, match=r"roi_tiny_hard_128\.jsonl\.gz"):
        check_submission(copy)
    (copy / "submission.json").unlink()
    with pytest.raises(RecordError, match=r"submission\.json.*roi-bench submit pack"):
        check_submission(copy)


def test_a_draft_may_be_a_part_and_keeps_all_forms_costs_and_samples(draft: Path, tmp_path: Path) -> None:
    checked = check_submission(draft)
    assert [remark.rule for remark in checked.remarks] == ["draft"]
    exam, knapsack, solo = checked.tasks[1], checked.tasks[0], checked.tasks[2]
    assert (exam.record.form, knapsack.record.form, solo.record.form) == ("exam", "knapsack", "solo")
    assert [len(task.documents) for task in (exam, knapsack, solo)] == [4, 4, 12]
    assert (exam.record.repeats, exam.record.deviations) == (2, ("temperature=0.5",))
    costs = checked.usd[exam.name]["tiny/0/000"]
    usage = exam.documents[0].requests[0][0].usage
    assert usage is not None
    assert (len(costs), len(costs[0]), costs[0][0]) == (2, 2, 1e-5 * usage.tokens)
    with pytest.raises(RecordError, match="476 of 480 exams"):
        check_submission(tampered(draft, tmp_path / "a", document=set_top(draft=False)))

    def rename(rows: list[dict[str, Any]]) -> None:
        rows[0]["id"] = "tiny/1/000"

    with pytest.raises(RecordError, match=r"'tiny/1/000'.*'tiny'"):
        check_submission(tampered(draft, tmp_path / "b", rows=rename))


def test_an_incomplete_solo_profile(draft: Path, tmp_path: Path) -> None:
    def only_solo(document: dict[str, Any]) -> None:
        document.update(draft=False, tasks=document["tasks"][2:], claimed={})

    folder = tampered(draft, tmp_path, document=only_solo)
    for name in ("roi_tiny_hard_128", "roi_tiny_medium_128_greedy_knapsack"):
        (folder / f"{name}.jsonl.gz").unlink()
    with pytest.raises(RecordError, match=r"1428 of 1440 problems.*tiny/0/easy/004"):
        check_submission(folder)


def test_the_schema_is_whole_and_knows_every_field() -> None:
    from dataclasses import fields

    from jsonschema import Draft202012Validator

    from roi_bench.leaderboard.submission import schema as submission
    from roi_bench.leaderboard.submission.schema import SCHEMA_FILE

    path = Path(submission.__file__).with_name(SCHEMA_FILE)
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    for part, kind in (
        (schema, submission.Submission),
        (schema["properties"]["metadata"], submission.Metadata),
        (schema["$defs"]["task"], submission.SubmittedTask),
    ):
        names = {field.name for field in fields(kind)}
        assert set(part["properties"]) - {"format", "format_version"} == names
        later = {
            "paraphrase",
            *KEYS,
            *submission.LINKS,
            "lines_sha256",
            *submission.SETUP,
        }  # left out: the canonical text, not recorded, none
        needed = set(part["required"]) | set(part.get("else", {}).get("required", []))  # the latter since rule 2
        assert needed == set(part["properties"]) - later


def test_the_schema_allows_what_the_code_knows() -> None:
    """A new kind, exam set, order, shipped tokenizer or way of sending is a line in the schema too."""
    from roi_bench.leaderboard.submission.schema import SCHEMA_FILE

    path = PACKAGE / "leaderboard" / "submission" / SCHEMA_FILE
    task = json.loads(path.read_text(encoding="utf-8"))["$defs"]["task"]["properties"]
    assert set(task["form"]["enum"]) == set(KINDS)
    assert set(task["exam_set"]["enum"]) == set(EXAM_SETS)
    assert set(task["order"]["enum"]) == {*ORDERS, None}
    assert set(task["sent_as"]["enum"]) == {*SENT_AS, None}
    (shipped,) = (one["enum"] for one in task["tokenizer"]["anyOf"] if "enum" in one)
    assert set(shipped) == {shipped_name(folder) for folder in SHIPPED_MODELS.values()}


@pytest.mark.parametrize(
    "link",
    [
        "https://example.org",
        "https://huggingface.co/org/name",
        "https://arxiv.org/abs/2601.03822v2",
        "https://openreview.net/forum?id=aB_3-x&noteId=7#top",
        "https://xn--e1afmkfd.example/%D0%B0~b/",
    ],
)
def test_links_of_model_paper_and_code_are_let_in(whole: Path, tmp_path: Path, link: str) -> None:
    linked = tampered(whole, tmp_path, document=set_metadata(model_url=link, paper_url=link, code_url=None))
    said = check_submission(linked, today=TODAY).submission.metadata
    assert (said.model_url, said.paper_url, said.code_url) == (link, link, None)


def test_a_submission_without_links_has_the_fields_that_it_always_had(whole: Path) -> None:
    document = json.loads((whole / "submission.json").read_text(encoding="utf-8"))
    assert set(document["metadata"]).isdisjoint(LINKS)
