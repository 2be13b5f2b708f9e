"""Records for Every Eval Ever: by its own validator where its Python is here, by golden data everywhere."""

import hashlib
import json
import math
import re
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import RecordError
from roi_bench.leaderboard.exporters.every_eval_ever import (
    BOUNDS,
    aggregate,
    export_every_eval_ever,
    record_path,
    record_uuid,
    sample_rows,
    write_samples,
)
from tests.leaderboard.exporters.small_board import ID, SECRET, changed, small_board, with_entries
from tests.leaderboard.invented_board import HOSTILE, hostile_board, invented_board

FIELDS = json.loads(Path(__file__).with_name("every_eval_ever_fields.json").read_text(encoding="utf-8"))
HAS_VALIDATOR = sys.version_info >= (3, 12)  # below, the package cannot be installed


def strict_object(pairs):
    assert len(dict(pairs)) == len(pairs), "a name occurs twice"
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def strict(text):
    return json.loads(text, object_pairs_hook=strict_object, parse_constant=no_constant)


def samples_of(board, runs, out):
    """Return a folder with the rows of all submissions, drafts too, as grading leaves them."""
    folder = out.with_name(f"{out.name}-samples")
    for entry in board.entries:
        write_samples(entry.graded, runs, folder)
    return folder


def exported(board, runs, out):
    """Return the aggregate records and the sample rows by path, after checking them in every way that there is."""
    paths = export_every_eval_ever(board, samples_of(board, runs, out), out)
    found = {}
    for path in paths:
        text = path.read_text(encoding="ascii")
        rows = [strict(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [strict(text)]
        for row in rows:
            check_fields(row, FIELDS["sample" if path.suffix == ".jsonl" else "aggregate"])
        found[path.relative_to(out).as_posix()] = rows if path.suffix == ".jsonl" else rows[0]
    if HAS_VALIDATOR:
        check_by_its_own_validator(paths, out)
    return found


def check_by_its_own_validator(paths, out):
    from every_eval_ever.validate import validate_file

    for path in paths:
        report = validate_file(
            path,
            repo_path=path.relative_to(out).as_posix(),
            available_files={other.relative_to(out).as_posix() for other in paths},
            read_repo_file=lambda name: (out / name).read_text(encoding="utf-8"),
            run_semantic_checks=True,
        )
        assert (report.errors, report.warnings, report.valid) == ([], [], True)


KINDS = {
    "text": lambda v: isinstance(v, str),
    "epoch": lambda v: isinstance(v, str) and v.isdigit(),
    "object": lambda v: isinstance(v, dict),
    "list": lambda v: isinstance(v, list),
    "flag": lambda v: isinstance(v, bool),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v),
    "bound": lambda v: v in ("Infinity", "-Infinity") if isinstance(v, str) else KINDS["number"](v),
}


def check_fields(record, fields):
    """Check kinds, what must be there and what may be said; and that nothing else is there."""
    for path, kind, need, *allowed in fields:
        for value in reached(record, re.findall(r"\w+|\[\]|\*", path), required=need == "required"):
            assert KINDS[kind](value), (path, value)
            assert not allowed or value in allowed[0], (path, value)
    known = {path for path, *_ in fields}
    assert paths_of(record, known) <= known


def reached(value, steps, *, required):
    """Yield what lies at the end of ``steps``; a field that must be there must be wherever its object is."""
    step, *rest = steps
    if step == "[]":
        following = list(value)
    elif step == "*":
        following = list(value.values())
    else:
        assert step in value or rest or not required, (step, value)
        following = [value[step]] if step in value else []
    for found in following:
        yield from reached(found, rest, required=required) if rest else (found,)


def paths_of(value, known, place=""):
    """Return the paths of all fields of ``value`` in the form of the golden data ``known``."""
    if isinstance(value, list):
        below = [(found, f"{place}[]") for found in value]
    elif isinstance(value, dict):
        names = {name: f"{place}.{name}".lstrip(".") for name in value}
        below = [(found, names[name] if names[name] in known else f"{place}.*") for name, found in value.items()]
    else:
        below = []
    return {path for _, path in below}.union(*(paths_of(found, known, path) for found, path in below))


def test_a_submission_is_a_record_and_its_samples(tmp_path):
    board, runs = small_board()
    files = exported(board, runs, tmp_path)
    path = f"data/roi-bench/made-up/model/{record_uuid(ID)}.json"
    samples = path.replace(".json", "_samples.jsonl")
    assert list(files) == [samples, path]
    record, rows = files[path], files[samples]
    assert record["detailed_evaluation_results"] == {
        "format": "jsonl",
        "file_path": samples,
        "hash_algorithm": "sha256",
        "checksum": hashlib.sha256((tmp_path / samples).read_bytes()).hexdigest(),
        "total_rows": len(rows),
    }
    assert record["evaluation_id"] == "roi-bench-0123456789ab/made-up/model/1795478400"
    assert {row["evaluation_id"] for row in rows} == {record["evaluation_id"]}
    assert {row["model_id"] for row in rows} == {record["model_info"]["id"]} == {"made-up/model"}
    assert len(rows) == 2 * (5 * 2 + 5 + 3)  # both orders of 5 exams twice, 5 and 3 once


def test_the_rows_of_a_result_make_its_score(tmp_path):
    board, runs = small_board()
    rows, record = exported(board, runs, tmp_path).values()
    results = {result["evaluation_result_id"]: result for result in record["evaluation_results"]}
    assert len(results) == len(record["evaluation_results"])
    by_result = {}
    for row in rows:
        assert row["evaluation_name"] == results[row["evaluation_result_id"]]["evaluation_name"]
        by_result.setdefault(row["evaluation_result_id"], []).append(row["evaluation"])
    assert by_result.keys() == {name for name in results if name.endswith(("/score", "/score_easy"))}
    for name, evaluations in by_result.items():
        mean = math.fsum(one["score"] for one in evaluations) / len(evaluations)
        assert mean == pytest.approx(results[name]["score_details"]["score"], abs=1e-12)
        assert all(one["is_correct"] == (one["score"] == 3) for one in evaluations)
    assert any(one["is_correct"] for one in by_result["tiny_hard_128_direct/score"])


def test_a_result_says_what_was_asked_and_how(tmp_path):
    board, runs = small_board(provider="local", open_weights=True, organisation="Made Up Ltd", parameters=800_448)
    _, record = exported(board, runs, tmp_path).values()
    results = {result["evaluation_result_id"]: result for result in record["evaluation_results"]}
    score = results["tiny_hard_128_direct/score"]
    run = board.entries[0].graded.runs[0]
    assert score["evaluation_name"] == "roi_tiny_hard_128_direct"
    assert score["score_details"]["score"] == run.numbers["score"].value
    interval = score["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == (run.numbers["score"].low, run.numbers["score"].high)
    assert score["score_details"]["details"]["tokens"] == "40.0"
    assert score["generation_config"]["generation_args"]["temperature"] == 0.7
    assert score["generation_config"]["generation_args"]["max_tokens"] == 128
    assert "top_p" not in score["generation_config"]["generation_args"]  # a text, which the format does not take there
    assert score["generation_config"]["additional_details"]["decoding_top_p"] == "0.9"
    assert score["generation_config"]["additional_details"]["deviations"] == "temperature=0.7"
    assert results["tiny_hard_128_direct/regret"]["metric_config"]["lower_is_better"] is True
    assert results["tiny_hard_128_direct/regret"]["metric_config"]["min_score"] == "-Infinity"
    assert results["tiny_hard_128_direct/ae"]["score_details"]["score"] == 0.8
    assert results["tiny_hard_128_direct/sr"]["score_details"]["score"] == 1.1
    assert not [name for name in results if name.endswith(("/tokens", "/skip_rate", "/error", "_tokens"))]
    model = record["model_info"]
    assert (model["developer"], model["inference_platform"]) == ("Made Up Ltd", "local")
    assert model["additional_details"] == {
        "deployment_type": "self_deployed",
        "model_availability": "open_weights",
        "parameters": "800448",
    }


def test_rows_of_generated_exams_hold_prompt_answers_and_response(tmp_path):
    board, runs = small_board()
    rows, _ = exported(board, runs, tmp_path).values()
    exam = next(iter(runs["tiny_hard_128_direct"].exams.values()))
    row = next(row for row in rows if row["evaluation_result_id"] == "tiny_hard_128_direct/score")
    hard, middle, easy = exam.ordered("hard")
    assert row["sample_id"] == exam.id
    assert row["input"]["reference"] == [hard.answer, middle.answer, easy.answer]
    assert row["input"]["raw"].index(hard.question) < row["input"]["raw"].index(easy.question)
    assert row["output"]["raw"] == [runs["tiny_hard_128_direct"].task.documents[0].requests[0][0].text]
    assert [one["extracted_value"] for one in row["answer_attribution"]] == ["NA", "NA", "NA"]
    assert row["metadata"]["outcomes"] == "skipped, skipped, skipped"
    assert row["metadata"]["tiers"] == "hard, middle, easy"
    assert (row["metadata"]["sample"], row["metadata"]["tokens"], row["metadata"]["order"]) == ("1", "40", "hard")


def test_every_sample_and_order_has_its_own_response(tmp_path):
    board, runs = small_board()
    rows, _ = exported(board, runs, tmp_path).values()
    run = runs["tiny_hard_128_direct"]
    for document in run.task.documents:
        mine = [row for row in rows if row["sample_id"] == document.id and row["evaluation_name"] == run.task.name]
        said = [[row["metadata"]["order"], row["metadata"]["sample"], *row["output"]["raw"]] for row in mine]
        (hard, harder), (easy, easier) = ([response.text for response in request] for request in document.requests)
        assert said == [["hard", "1", hard], ["hard", "2", harder], ["easy", "1", easy], ["easy", "2", easier]]


def test_a_sample_without_a_response_has_no_row():
    board, runs = small_board()
    graded, run = board.entries[0].graded.runs[0], runs["tiny_hard_128_direct"]
    first, *others = run.scored.values()
    failed = replace(first[0], easy=replace(first[0].easy, failed=True))
    scored = dict(zip(run.scored, [(failed, first[1]), *others], strict=True))
    rows = list(sample_rows(graded, replace(run, scored=scored), "one", "a/b"))
    assert [row["metadata"]["sample"] for row in rows[:3]] == ["2", "2", "1"]
    assert len(rows) == 2 * (5 * 2 - 1)


def test_rows_of_problems_asked_alone_hold_the_three_responses(tmp_path):
    board, runs = small_board()
    rows, _ = exported(board, runs, tmp_path).values()
    (row, *_) = [row for row in rows if row["evaluation_result_id"] == "tiny_hard_128_greedy_knapsack/score"][3:]
    assert len(row["output"]["raw"]) == len(row["input"]["reference"]) == 3
    assert [one["source"] for one in row["answer_attribution"]] == [f"output.raw[{place}]" for place in range(3)]
    assert row["metadata"]["form"] == "knapsack"


def test_rows_of_licensed_exams_hold_ids_and_hashes_instead_of_texts_and_answers(tmp_path):
    board, runs = small_board()
    files = exported(board, runs, tmp_path)
    content = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert SECRET not in content
    rows = [row for row in next(iter(files.values())) if row["sample_id"].startswith("v1/")]
    exam = runs["v1_hard_512_direct"].exams[rows[0]["sample_id"]]
    assert len(rows) == 6
    assert all(row["input"]["reference"] == [] for row in rows)
    assert all(problem.sha256 in rows[0]["input"]["raw"] for problem in exam.problems)
    # the response of the first row names no answer, and nothing else in it may
    assert not any(problem.answer in json.dumps(rows[0]) for problem in exam.problems)


def test_the_hash_of_a_sample_tells_questions_and_answers_apart_and_models_not():
    board, runs = small_board()
    graded, run = board.entries[0].graded.runs[2], runs["v1_hard_512_direct"]
    first = [row["sample_hash"] for row in sample_rows(graded, run, "one", "a/b")]
    assert first == [row["sample_hash"] for row in sample_rows(graded, run, "two", "c/d")]
    assert len(set(first)) == len(first)
    exams = {
        name: replace(exam, problems=(replace(exam.problems[0], answer="8"), *exam.problems[1:]))
        for name, exam in run.exams.items()
    }
    other = [row["sample_hash"] for row in sample_rows(graded, replace(run, exams=exams), "one", "a/b")]
    assert not set(first) & set(other)


def test_the_same_submission_gives_the_same_bytes_and_another_one_another_uuid(tmp_path):
    contents = []
    for name in ("one", "two"):
        board, runs = small_board()
        paths = export_every_eval_ever(board, samples_of(board, runs, tmp_path / name), tmp_path / name)
        contents.append({path.relative_to(tmp_path / name): path.read_bytes() for path in paths})
    assert contents[0] == contents[1]
    assert uuid.UUID(record_uuid(ID)).version == 4
    assert record_uuid(ID) != record_uuid("model-0123456789ac")


def test_without_responses_there_is_the_record_alone(tmp_path):
    board, _ = small_board()
    ((path, record),) = exported(board, {}, tmp_path).items()
    assert path.endswith(".json")
    assert "detailed_evaluation_results" not in record
    assert sorted(found.name for found in tmp_path.rglob("*") if found.is_file()) == [Path(path).name]


@pytest.mark.parametrize("change", [{"replaced_by": "model-ba9876543210"}, {"submission": {"draft": True}}])
def test_drafts_and_replaced_submissions_are_left_out(change, tmp_path):
    board, runs = small_board()
    assert exported(with_entries(board, changed(board.entries[0], **change)), runs, tmp_path) == {}


@pytest.mark.parametrize(
    ("metadata", "identity", "folder"),
    [
        ({"model": "Qwen/Qwen2.5-1.5B"}, "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-1.5B"),
        ({"model": "openai/azure/gpt-4o"}, "openai/azure/gpt-4o", "openai/azure_gpt-4o"),
        ({"model": "gpt-4o", "organisation": "OpenAI"}, "OpenAI/gpt-4o", "OpenAI/gpt-4o"),
        ({"model": "gpt-4o", "organisation": "Open AI!", "provider": "azure"}, "azure/gpt-4o", "azure/gpt-4o"),
        ({"model": "gpt-4o"}, "unlisted/gpt-4o", "unlisted/gpt-4o"),
        *(
            ({"model": name}, f"unlisted/{ID}", f"unlisted/{ID}")
            for name in (
                *("../../etc/passwd", "/etc/passwd", "a//b", "a/..", ".", "a b/c", "CON/x", "lpt1.txt", "data/x"),
                *("Unknown/x", "x/a.", "ünï/code", "a/b/c/d", "x\n", "a\x00b", "C:\\x", "x" * 97),
            )
        ),
    ],
)
def test_folders_follow_from_safe_names_only(metadata, identity, folder, tmp_path):
    board, runs = small_board(**metadata)
    files = exported(board, runs, tmp_path)
    assert {path.rpartition("/")[0] for path in files} == {f"data/roi-bench/{folder}"}
    assert next(reversed(files.values()))["model_info"]["id"] == identity


def test_hostile_text_stays_text(tmp_path):
    files = exported(hostile_board(), {}, tmp_path)
    assert len(files) == 3
    records = [record for record in files.values() if "<script>" in record["model_info"]["name"]]
    assert len(records) == 1
    assert all(ord(c) >= 32 and c not in "\ud800\u202e" for c in records[0]["model_info"]["name"])
    assert HOSTILE not in json.dumps(records[0], ensure_ascii=False)


def test_an_id_that_leads_elsewhere_is_refused():
    board, _ = small_board(model="no safe name!")
    with pytest.raises(RecordError, match=r"\.\./x"):
        record_path(changed(board.entries[0], submission={"id": "../x"}))


def test_undefined_and_infinite_numbers_are_left_out():
    board, _ = small_board()
    entry = board.entries[0]
    run = entry.graded.runs[0]
    numbers = {
        **run.numbers,
        "regret": Interval(None),
        "p1_acc": Interval(math.nan),
        "p2_acc": Interval(0.5, 0.4, math.inf),
    }
    entry = replace(entry, graded=replace(entry.graded, runs=(replace(run, numbers=numbers, allocation={}),)))
    results = {
        found["evaluation_result_id"].rpartition("/")[2]: found
        for found in aggregate(board, entry)["evaluation_results"]
    }
    assert not results.keys() & {"regret", "p1_acc", "v_dp", "ae", "sr"}
    assert "confidence_interval" not in results["p2_acc"]["score_details"]["uncertainty"]


def test_scores_lie_between_their_bounds(tmp_path):
    board = invented_board(6, exams=30)
    for record in exported(board, {}, tmp_path).values():
        for result in record["evaluation_results"]:
            low, high = (float(result["metric_config"][end]) for end in ("min_score", "max_score"))
            assert low <= result["score_details"]["score"] <= high
    assert BOUNDS["score"] == (0.0, 3.0)


def test_a_maintainers_run_is_a_third_partys(tmp_path):
    board, runs = small_board()
    board = with_entries(board, changed(board.entries[0], badge="maintainer-run"))
    _, record = exported(board, runs, tmp_path).values()
    assert record["source_metadata"]["evaluator_relationship"] == "third_party"
    assert record["source_metadata"]["additional_details"]["badge"] == "maintainer-run"
