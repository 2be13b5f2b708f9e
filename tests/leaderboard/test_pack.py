"""Packing: what goes in, what stays out, and that a submission gives exactly the numbers of the run it was made of."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections import Counter
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roi_bench.analysis.load import ScoringOptions
from roi_bench.analysis.runs import in_order
from roi_bench.cli.submit import submit
from roi_bench.errors import ModelError, RecordError, UsageError
from roi_bench.exams.tiny import model_path
from roi_bench.grading.grader import Grader
from roi_bench.leaderboard.checks.rules import CheckedSubmission, check_submission, content_hash
from roi_bench.leaderboard.submission.metadata import (
    load_results,
    make_metadata,
    metadata_defaults,
    parse_day,
    parse_parameters,
    public_model,
    public_tokenizer,
    software,
    total_usd,
)
from roi_bench.leaderboard.submission.pack import Correction, pack_submission
from roi_bench.leaderboard.submission.schema import SETUP, load_set, submission_id, task_name
from roi_bench.leaderboard.submission.untrusted_files import shown
from roi_bench.records.regrade import estimate_task, flat_values
from roi_bench.records.results import NO_RESPONSE, RecordedTask, read_results
from roi_bench.scoring.tokens import TokenCounter
from tests.leaderboard.made_submissions import (
    SOLO,
    MadeTask,
    made_submission,
    metadata,
    tampered,
    write_folder,
    write_results,
)
from tests.support.messages import missing

EXAM = MadeTask(exams=2)
GIVEN = {"contamination": "none", "contact": "me"}


def numbers(task: RecordedTask, counter: TokenCounter | None, grader: Grader) -> dict[str, float | str]:
    exams = {exam.id: exam for exam in load_set(task.record.exam_set, task.record.exam_seed)}
    return flat_values(estimate_task(task, exams, grader, counter))


def same_numbers(results: Path, checked: CheckedSubmission) -> None:
    """Every number of every task, from the results as ``regrade`` reads them and from the submission."""
    recorded = in_order(read_results(results))
    assert len(recorded) == len(checked.tasks)
    with Grader(workers=1) as grader:
        for before, after in zip(recorded, checked.tasks, strict=True):
            assert [d.id for d in before.documents] == [d.id for d in after.documents]
            expected = numbers(before, ScoringOptions().counter(before), grader)
            assert numbers(after, checked.counters[after.name], grader) == expected
            assert len(expected) > 20


def texts(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "submission.json").read_text(encoding="utf-8"))
    return found


def test_every_form_gives_the_numbers_of_its_run(tmp_path: Path) -> None:
    solo = MadeTask(**{**{name: getattr(SOLO, name) for name in ("order", "prompt", "skill", "budget")}, "exams": 2})
    tasks = [
        MadeTask(exams=6, order="medium", prompt="metacognitive", repeats=2, temperature=0.3),
        MadeTask(exams=6, skill=(0.5, 0.5, 0.5), attempts=(True, True, True)),  # most are cut off by the budget
        MadeTask(exams=6, prompt="greedy_knapsack", attempts=(True, True, True), skill=(0.9, 0.5, 0.4)),
        solo,
    ]
    results = write_results(tmp_path / "results", tasks)
    checked = check_submission(pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True))
    same_numbers(results, checked)
    assert {task.record.form for task in checked.tasks} == {"exam", "knapsack", "solo"}


def test_a_submission_is_read_with_the_flag_and_the_tags_of_its_run(tmp_path: Path) -> None:
    draft = "### Problem 1\n\\boxed{-1}\n### Problem 3\n\\boxed{-3}"
    task = MadeTask(exams=2, budget=256, skill=(1.0, 1.0, 1.0), text=lambda _, text: f"{draft}</mull>\n{text}")
    results = write_results(tmp_path / "results", [task])
    flag = {"starts_in_reasoning": True, "think_tags": [["<mull>", "</mull>"]]}
    scores = []
    for changes, name in ((flag, "flagged"), ({"starts_in_reasoning": False}, "not")):
        change_record(results, **changes)
        checked = check_submission(pack_submission(load_results([results]), tmp_path / name, metadata(), draft=True))
        same_numbers(results, checked)
        (found,) = checked.tasks
        assert found.record.texts == read_results(results)[0].record.texts
        with Grader(workers=1) as grader:
            scores.append(numbers(found, checked.counters[found.name], grader)["score"])
    assert scores[0] == 2.0  # easy and middle; the hard problem is never attempted
    assert scores[1] == 0.0


PIECES = st.sampled_from(
    [
        *("### Problem 1\n", "### Problem 2\n", "Problem 3:", "\\boxed{3}", "\\boxed{99}", "\\boxed{NA}", "\\boxed{"),
        *("<predicted_level>Level-1</predicted_level>", "<predicted_level>Level-3</predicted_level>"),
        *(" ", "5 2", "\n", "é\u2212", "🙂"),
    ]
)
USAGES = st.none() | st.fixed_dictionaries(
    {
        "tokens": st.integers(110, 128),  # never fewer than five pieces show
        "finish_reason": st.sampled_from(["stop", "length", None]),
        "source": st.sampled_from(["generated", "provider"]),
    }
)
RESPONSES = st.lists(st.tuples(st.lists(PIECES, max_size=5).map("".join), USAGES), min_size=8, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RESPONSES, st.booleans(), st.booleans())
def test_whatever_was_written_gives_the_numbers_of_its_run(
    tmp_path: Path, responses: list[tuple[str, Any]], whole: bool, metered: bool
) -> None:
    shutil.rmtree(tmp_path)
    results = write_results(tmp_path / "results", [MadeTask(exams=2, repeats=2)])
    (samples,) = results.parent.glob("samples_*")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    for k, row in enumerate(rows):
        four = responses[4 * k : 4 * k + 4]
        row["resps"] = [[text for text, _ in four[:2]], [text for text, _ in four[2:]]]
        row["usage"] = [[usage for _, usage in four[:2]], [usage for _, usage in four[2:]]] if metered else None
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    change_record(results, text_is_whole=whole)
    checked = check_submission(pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True))
    same_numbers(results, checked)


def change_record(results: Path, **changes: Any) -> None:
    content = json.loads(results.read_text(encoding="utf-8"))
    for config in content["configs"].values():
        config["metadata"]["roi_bench"] |= changes
    results.write_text(json.dumps(content), encoding="utf-8")


def test_the_same_results_give_the_same_bytes_and_are_packed_once(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", [EXAM])
    first = pack_submission(load_results([results]), tmp_path / "a", metadata(), draft=True)
    second = pack_submission(load_results([results.parent]), tmp_path / "b", metadata(), draft=True)
    assert first.name == second.name
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    assert pack_submission(load_results([results]), tmp_path / "a", metadata(), draft=True) == first
    assert [path.name for path in (tmp_path / "a").iterdir()] == [first.name]
    (first / "submission.json").write_text("{}")
    with pytest.raises(UsageError, match=re.escape(str(first))):
        pack_submission(load_results([results]), tmp_path / "a", metadata(), draft=True)


def test_what_would_be_refused_is_not_written(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", [EXAM])
    with pytest.raises(RecordError, match="478 of 480 exams") as no:
        pack_submission(load_results([results]), tmp_path / "out", metadata())
    assert ".packing" not in str(no.value)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(RecordError, match=r"metadata\.licence.*300.*200"):
        pack_submission(load_results([results]), tmp_path / "out", metadata(licence="x" * 300), draft=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_no_path_of_this_machine_gets_in(tmp_path: Path) -> None:
    model = tmp_path / "secret" / "my-model"
    shutil.copytree(model_path(), model, ignore=lambda *_: ["model.safetensors"])
    document = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    (model / "tokenizer.json").write_text(json.dumps({**document, "decoder": {"type": "Fuse"}}), encoding="utf-8")
    results = write_results(tmp_path / "results", [EXAM], model=str(model), tokenizer=str(model))
    given = make_metadata(load_results([results]), None, GIVEN)
    folder = pack_submission(load_results([results]), tmp_path / "out", given, draft=True)
    everything = (folder / "submission.json").read_text() + str(
        [gzip.decompress(path.read_bytes()) for path in folder.glob("*.gz")]
    )
    assert str(tmp_path) not in everything
    assert "secret" not in everything
    document = texts(folder)
    assert (document["metadata"]["model"], document["tasks"][0]["tokenizer"]) == ("my-model", "local:my-model")
    checked = check_submission(folder)
    assert not checked.recounted
    same_numbers(results, checked)


@pytest.mark.parametrize(
    ("name", "model", "tokenizer"),
    [
        (str(model_path("rarl")), "roi-bench:tiny_rarl", "roi-bench:tiny_rarl"),
        ("/elsewhere/site-packages/roi_bench/data/tiny_mft", "roi-bench:tiny_mft", "roi-bench:tiny_mft"),
        ("Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct"),
        ("gpt2", "gpt2", "gpt2"),
        ("/data/models/mine/", "mine", "local:mine"),
        ("./out/check point", "check point", "local:check-point"),
        ("~/x", "x", "local:x"),
        ("C:\\models\\mine", "mine", "local:mine"),
        ("a/b/c", "c", "local:c"),
        ("/", "model", "local:model"),
        ("weird name!", "weird name!", "local:weird-name"),
        ("alice@host:/m", "m", "local:m"),
        ("alice@host:m", "m", "local:m"),
        ("checkpoints/alice@run7", "alice@run7", "local:alice-run7"),
        ("s3:/bucket", "bucket", "local:bucket"),
        ("C:/models/mine", "mine", "local:mine"),
        ("meta-llama/llama:free", "meta-llama/llama:free", "local:llama-free"),
        ("claude@20251001", "claude@20251001", "local:claude-20251001"),
    ],
)
def test_public_names(name: str, model: str, tokenizer: str) -> None:
    assert (public_model(name), public_tokenizer(name)) == (model, tokenizer)


def test_the_names_that_will_be_published_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    results = write_results(tmp_path / "results", [EXAM])
    pack_submission(
        load_results([results]), tmp_path / "out", metadata("checkpoints/run7"), draft=True, tell=told.append
    )
    (line,) = told
    assert missing(["model", "'checkpoints/run7'", "tokenizer", "'roi-bench:tiny_model'"], line) == []


def test_a_tokenizer_that_cuts_as_a_shipped_one_is_that_one(tmp_path: Path) -> None:
    document = json.loads((model_path("mft") / "tokenizer.json").read_text(encoding="utf-8"))
    for padding in (None, {"strategy": "BatchLongest", "direction": "Left", "pad_id": 0, "pad_token": "<|pad|>"}):
        (tmp_path / "tokenizer.json").write_text(json.dumps({**document, "padding": padding}), encoding="utf-8")
        assert public_tokenizer(str(tmp_path)) == "roi-bench:tiny_model"
    (tmp_path / "tokenizer.json").write_text(json.dumps({**document, "normalizer": {"type": "Lowercase"}}))
    assert public_tokenizer(str(tmp_path)) == f"local:{tmp_path.name}"


def test_what_the_results_tell_need_not_be_given(tmp_path: Path) -> None:
    results = write_results(tmp_path, [EXAM])
    assert metadata_defaults(load_results([results])) == {
        "model": "made-up/model",
        "date": "2026-11-24",
        "parameters": 800448,
        "provider": "local",
    }
    assert software(load_results([results])) == {
        "lm_eval": "0.4.13",
        "roi-bench": "0.1.0",
        "torch": "2.13.0+cpu",
        "transformers": "5.23.0",
    }
    assert total_usd(load_results([results])) is None
    with pytest.raises(UsageError, match=r"--contamination.*--contact"):
        make_metadata(load_results([results]), None, {})
    with pytest.raises(UsageError, match=r"^(?!.*--contamination).*--contact"):
        make_metadata(load_results([results]), None, {**GIVEN, "contact": "  "})


def test_metadata_from_a_file_and_options_before_it(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", [EXAM])
    file = tmp_path / "about.yaml"
    file.write_text(
        "contact: me\ncontamination: |\n  none\n  at all\ndate: 2026-11-20\nlicence: null\nopen_weights: yes\n"
    )
    found = make_metadata(load_results([results]), file, {"contact": "you"})
    assert (found.contact, found.date, found.licence, found.open_weights) == ("you", "2026-11-20", None, True)
    assert found.contamination == "none\nat all\n"
    for written, number in ((7, 7), ("7B", 7 * 10**9)):
        (tmp_path / "about.json").write_text(json.dumps({**GIVEN, "parameters": written}))
        assert make_metadata(load_results([results]), tmp_path / "about.json", {}).parameters == number
    for content, fact in (
        ("contct: me", "'contct'.*'contact'"),
        ("[1, 2]", r"about\.yaml.*fields"),
        ("a: [", r"about\.yaml"),
    ):
        file.write_text(content)
        with pytest.raises(UsageError, match=fact):
            make_metadata(load_results([results]), file, GIVEN)
    with pytest.raises(UsageError, match=r"nothing\.yaml"):
        make_metadata(load_results([results]), tmp_path / "nothing.yaml", GIVEN)


def test_several_results_files_make_one_submission(tmp_path: Path) -> None:
    for name, task in (("a", EXAM), ("b", MadeTask(exams=2, order="medium"))):
        write_results(tmp_path / "results" / name, [task])
    folder = pack_submission(load_results([tmp_path / "results"]), tmp_path / "out", metadata(), draft=True)
    names = [task["name"] for task in texts(folder)["tasks"]]
    assert names == ["roi_tiny_medium_128", "roi_tiny_hard_128"]
    write_results(tmp_path / "results" / "c", [EXAM])
    with pytest.raises(UsageError, match=r"roi_tiny_hard_128.*a/results_.*c/results_"):
        pack_submission(load_results([tmp_path / "results"]), tmp_path / "out", metadata(), draft=True)
    write_results(tmp_path / "two" / "a", [EXAM])
    write_results(tmp_path / "two" / "b", [MadeTask(exams=2, order="medium")], model="made-up/other")
    for fields in (GIVEN, {**GIVEN, "model": "made-up/both"}):
        with pytest.raises(UsageError, match=r"2 models.*made-up/model, made-up/other"):
            make_metadata(load_results([tmp_path / "two"]), None, fields)
    with pytest.raises(UsageError, match="2 models"):
        pack_submission(load_results([tmp_path / "two"]), tmp_path / "out", metadata(), draft=True)


def test_a_task_that_was_started_twice_into_one_folder_is_packed_once(tmp_path: Path) -> None:
    write_results(tmp_path, [MadeTask(exams=1)])
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("T10-00", "T09-00")))
    whole = write_results(tmp_path, [EXAM])
    lines: list[str] = []
    loaded = load_results([tmp_path], lines.append)
    assert [(file.path, len(task.documents)) for file in loaded for task in file.tasks] == [(whole.resolve(), 2)]
    assert len(lines) == 1


def test_models_that_end_alike_are_told_apart_and_one_written_twice_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path / "a", [EXAM], model="/data/one/last")
    write_results(tmp_path / "b", [MadeTask(exams=2, order="medium")], model="/data/two/last")
    with pytest.raises(UsageError, match=r"2 models.*one/last, two/last"):
        make_metadata(load_results([tmp_path]), None, GIVEN)
    (tmp_path / "same" / "last").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "same")
    for name, model in (("a", "last"), ("b", "./last/"), ("c", str(tmp_path / "same" / "last"))):
        write_results(tmp_path / "same" / name, [MadeTask(exams=2)], model=model)
    assert make_metadata(load_results([tmp_path / "same"]), None, GIVEN).model == "last"


@pytest.mark.parametrize(
    ("text", "number"), [("1500000000", 1500000000), ("1.5B", 1500000000), ("7b", 7 * 10**9), ("0.8 M", None)]
)
def test_parameters_in_words(text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(UsageError, match=r"parameters.*1500000000"):
            parse_parameters(text)
    else:
        assert parse_parameters(text) == number


@pytest.mark.parametrize("text", ["", "0", "1.5", "0.0001K", "-3", "1e9", "inf", "9" * 17, "1001T", "٣", "B"])
def test_what_is_no_number_of_parameters(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(shown(text)))):
        parse_parameters(text)


def test_the_day_of_a_run_may_be_tomorrow_somewhere() -> None:
    today = date(2026, 11, 24)
    assert parse_day("2026-11-25", today) == "2026-11-25"
    with pytest.raises(UsageError, match=r"2026-11-26.*2026-11-24"):
        parse_day("2026-11-26", today)
    for text in ("20261124", "2026-W48-2", "1999-12-31", "", "2026-13-01"):
        with pytest.raises(UsageError, match=f"{text}.*2026-11-24"):
            parse_day(text, today)


def test_versions_that_differ_are_not_mixed(tmp_path: Path) -> None:
    write_results(tmp_path / "a", [EXAM])
    other = write_results(tmp_path / "b", [MadeTask(exams=2, order="medium")])
    other.write_text(other.read_text().replace('"0.4.13"', '"0.4.14"'))
    with pytest.raises(UsageError, match=r"lm_eval.*0\.4\.14.*0\.4\.13"):
        pack_submission(load_results([tmp_path]), tmp_path / "out", metadata(), draft=True)


def test_another_budget_or_seed_is_submitted_under_its_own_name(tmp_path: Path) -> None:
    results = write_results(tmp_path, [MadeTask(exams=2, budget=100, seed=5)])
    change_record(results, deviations=["budget=100", "exam_seed=5", "system_instruction"])
    task = texts(pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True))["tasks"][0]
    assert (task["name"], task["deviations"]) == ("roi_tiny_hard_100_seed_5", ["system_instruction"])
    assert task_name("v1", None, "hard", 512, "direct") == "roi_exam_hard_512"
    assert task_name("v1", None, None, 1024, "solo") == "roi_solo_1024"
    assert task_name("fresh", 0, None, 512, "solo") == "roi_fresh_solo_512"
    assert task_name("fresh", 7, "medium", 512, "metacognitive") == "roi_fresh_medium_512_metacognitive_seed_7"


def test_every_shipped_task_is_submitted_under_its_own_name() -> None:
    import yaml

    root = Path(model_path()).parents[1]
    found = 0
    for path in [*root.glob("tasks/*.yaml"), *root.glob("baselines/tasks/*.yaml")]:
        content = yaml.safe_load(path.read_text(encoding="utf-8").replace("!function", ""))
        if (named := content.get("dataset_kwargs")) is None:
            continue
        seed = None if named["exam_set"] == "v1" else 0
        expected = task_name(named["exam_set"], seed, named.get("order"), named["budget"], named["prompt"])
        assert content["task"] == expected
        found += 1
    assert found > 60


def test_a_correction_names_what_it_corrects(tmp_path: Path) -> None:
    results = write_results(tmp_path, [EXAM])
    correction = Correction("made-up-model-0123456789ab", "A prompt was wrong.")
    folder = pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True, correction=correction)
    submission = check_submission(folder).submission
    assert (submission.replaces, submission.reason) == ("made-up-model-0123456789ab", "A prompt was wrong.")


def test_half_characters_are_replaced_and_told(tmp_path: Path) -> None:
    results = write_results(tmp_path, [MadeTask(exams=2, text=lambda name, text: text)])
    (samples,) = tmp_path.glob("samples_*")
    samples.write_text(samples.read_text().replace("### Problem 1", "\\ud83d ### Problem 1", 1))
    told: list[str] = []
    folder = pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True, tell=told.append)
    (line,) = told[:-1]
    assert missing(["roi_tiny_hard_128", "U+FFFD"], line) == []
    text = check_submission(folder).tasks[0].documents[0].requests[0][0].text
    assert str(text).startswith("\ufffd ### Problem 1")


def test_missing_responses_are_kept_in_drafts_only(tmp_path: Path) -> None:
    results = write_results(tmp_path, [EXAM])
    (samples,) = tmp_path.glob("samples_*")
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    rows[0]["resps"][0][0], rows[0]["usage"][0][0] = NO_RESPONSE, None
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    checked = check_submission(pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True))
    assert [remark.rule for remark in checked.remarks] == ["draft", "missing"]
    same_numbers(results, checked)


def test_an_unknown_tokenizer_and_another_one(tmp_path: Path) -> None:
    results = write_results(tmp_path / "a", [EXAM], tokenizer=str(tmp_path / "gone"))
    with pytest.raises(ModelError, match="--tokenizer"):
        pack_submission(load_results([results]), tmp_path / "out", metadata(), draft=True)
    folder = pack_submission(
        load_results([results]),
        tmp_path / "out",
        metadata(),
        draft=True,
        options=ScoringOptions(tokenizer=str(model_path("mft"))),
    )
    assert texts(folder)["tasks"][0]["tokenizer"] == "roi-bench:tiny_mft"
    none = write_results(tmp_path / "b", [EXAM], tokenizer=None)
    checked = check_submission(pack_submission(load_results([none]), tmp_path / "out", metadata(), draft=True))
    assert checked.counters["roi_tiny_hard_128"] is None
    assert checked.remarks[1].rule == "tokens"
    assert "no tokenizer" in checked.remarks[1].text
    same_numbers(none, checked)


def test_costs_of_runs_that_share_a_journal_count_once(tmp_path: Path) -> None:
    for name, usd, digest in (("a", 0.5, "0123abcd"), ("b", 0.75, "0123abcd"), ("c", 0.25, "0123abce")):
        journal = f"journal-{digest}.rank0.jsonl"
        path = write_results(tmp_path / name, [EXAM])
        content = json.loads(path.read_text()) | {"roi_bench": {"journal": journal, "cost": {"total_usd": usd}}}
        path.unlink()
        (samples,) = path.parent.glob("samples_*.jsonl")
        samples.rename(tmp_path / f"samples_roi_tiny_hard_128_{name}.jsonl")
        (tmp_path / f"results_{name}.json").write_text(json.dumps(content))
    assert total_usd(load_results([tmp_path])) == 1.0


def test_the_command_reads_every_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = write_results(tmp_path / "results", [EXAM])
    reads: Counter[Path] = Counter()
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads[path.resolve()] += 1
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    fields = [text for name, value in GIVEN.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    done = CliRunner().invoke(submit, ["pack", str(results), "--out", str(tmp_path / "out"), "--draft", *fields])
    assert done.exit_code == 0, done.output
    found = {path.name: count for path, count in reads.items() if path.parent == results.resolve().parent}
    assert set(found.values()) == {1}
    assert len(found) == 2  # results and samples


def repacked(folder: Path, out: Path) -> Path:
    """Return a copy of a submission whose files another release of zlib might have packed."""
    content = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for task in content["tasks"]:
        lines = gzip.decompress(files[task["file"]])
        files[task["file"]] = gzip.compress(lines, compresslevel=1, mtime=7)
        task["sha256"] = sha256(files[task["file"]]).hexdigest()
    return write_folder(out / submission_id(content), content, files)


def test_a_submission_packed_by_another_zlib_is_the_same_one(tmp_path: Path) -> None:
    folder = made_submission(tmp_path / "made", [MadeTask(exams=3)])
    other = repacked(folder, tmp_path / "other")
    assert other.name == folder.name
    assert content_hash(other) != content_hash(folder)
    assert check_submission(other).submission.id == check_submission(folder).submission.id
    assert made_submission(tmp_path / "other", [MadeTask(exams=3)]) == other  # packed again it is found, not refused
    changed = tampered(folder, tmp_path / "changed", rows=lambda rows: rows[0]["requests"].reverse())
    assert changed.name != folder.name


def test_lines_that_are_not_those_of_the_id_are_refused(tmp_path: Path) -> None:
    folder = made_submission(tmp_path / "made", [MadeTask(exams=3)])
    wrong = tampered(folder, tmp_path, document=lambda content: content["tasks"][0].update(lines_sha256="0" * 64))
    with pytest.raises(RecordError, match=r"000000000000.*altered"):
        check_submission(wrong)


def test_a_submission_from_before_keeps_its_id(tmp_path: Path) -> None:
    """Its id counts the packed files, as it always did."""
    folder = made_submission(tmp_path / "made", [MadeTask(exams=3)])
    old = tampered(folder, tmp_path / "old", document=lambda content: content["tasks"][0].pop("lines_sha256"))
    assert check_submission(old).submission.tasks[0].lines_sha256 is None
    assert repacked(old, tmp_path / "again").name != old.name


def test_what_generated_the_responses_is_packed_as_it_was_recorded(tmp_path: Path) -> None:
    path = write_results(tmp_path / "results", [MadeTask(exams=3)])
    document = json.loads(path.read_text(encoding="utf-8"))
    engine = {"name": "vllm", "version": "0.18.0+cpu", "dtype": "torch.bfloat16", "quantization": None}
    document["roi_bench"] = {"engine": {**engine, "batch_size": "all of /home/me"}}
    path.write_text(json.dumps(document), encoding="utf-8")
    folder = pack_submission(load_results([path]), tmp_path / "submissions", metadata(), draft=True)
    (task,) = check_submission(folder).submission.tasks
    assert [getattr(task, name) for name in SETUP] == ["vllm", "0.18.0+cpu", "bfloat16", "none", "all of -home-me"]
    (plain,) = check_submission(made_submission(tmp_path / "plain", [MadeTask(exams=3)])).submission.tasks
    assert (plain.engine, plain.engine_version, plain.dtype) == ("hf", "5.23.0", None)
