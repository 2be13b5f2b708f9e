"""Results for the Hub, read back with its own library."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import EvalResultEntry, parse_eval_result_entries

from roi_bench.analysis.reports.tables import Interval
from roi_bench.errors import RecordError, UsageError
from roi_bench.leaderboard.exporters.hugging_face import LONGEST_NOTES, export_hugging_face
from tests.leaderboard.exporters.small_board import ID, changed, small_board, with_entries
from tests.leaderboard.invented_board import hostile_board, invented_board


def exported(board, out, **options):
    """Return the exported files by path, YAML and JSON read."""
    return {
        path.relative_to(out).as_posix(): yaml.safe_load(path.read_bytes())
        for path in export_hugging_face(board, out, **options)
    }


def test_the_hub_reads_one_score_a_file(tmp_path):
    board, _ = small_board(version="2")
    files = exported(board, tmp_path, dataset_id="somebody/exams")
    folder = f"models/{ID}/.eval_results"
    names = ("tiny_hard_128_direct", "tiny_hard_128_greedy_knapsack", "v1_hard_512_direct")
    assert [path for path in files if path.startswith("models/")] == [
        f"{folder}/roi_bench_{name}.yaml" for name in names
    ]
    score = board.entries[0].graded.runs[0].numbers["score"]
    (entry,) = parse_eval_result_entries(files[f"{folder}/roi_bench_tiny_hard_128_direct.yaml"])
    assert entry == EvalResultEntry(
        dataset_id="somebody/exams",
        task_id="tiny_hard_128",
        value=round(score.value, 4),
        date="2026-11-24",
        source_url=f"https://board.example/models/{ID}/index.html",
        source_name="A small board",
        notes="prompt direct; budget 128 generated tokens an exam; 5 exams; 2 samples an exam; "
        f"95 % interval {score.low:.4f} to {score.high:.4f}; version 2; regraded; temperature=0.7; "
        "deviates: temperature=0.7",
    )
    assert files["models.json"] == {
        ID: {"model": "made-up/model", "files": [f".eval_results/roi_bench_{name}.yaml" for name in names]}
    }


def test_scores_have_four_decimals(tmp_path):
    board, _ = small_board()
    entry = board.entries[0]
    runs = [replace(run, numbers={**run.numbers, "score": Interval(1.23456789)}) for run in entry.graded.runs]
    files = exported(with_entries(board, replace(entry, graded=replace(entry.graded, runs=tuple(runs)))), tmp_path)
    assert [entry["value"] for path, found in files.items() if "eval_results" in path for entry in found] == [
        1.2346
    ] * 3


def test_eval_yaml_has_a_task_for_each_cell_and_every_score_belongs_to_one(tmp_path):
    board = invented_board(4, exams=30)
    files = exported(board, tmp_path)
    benchmark = files["dataset/eval.yaml"]
    assert list(benchmark) == ["name", "description", "evaluation_framework", "tasks"]
    assert benchmark["tasks"] == [
        {"id": "v1_hard_512", "config": "v1", "split": "test"},
        {"id": "v1_medium_512", "config": "v1", "split": "test"},
        {"id": "v1_hard_1024", "config": "v1", "split": "test"},
        {"id": "tiny_hard_128", "config": "tiny", "split": "test"},
        {"id": "fresh_7_hard_512", "config": "fresh_7", "split": "test"},
    ]
    results = [entry for path, found in files.items() if "eval_results" in path for entry in found]
    assert {entry["dataset"]["task_id"] for entry in results} == {task["id"] for task in benchmark["tasks"]}
    assert all(0 <= entry["value"] <= 3 for entry in results)


def test_without_an_address_there_is_no_source(tmp_path):
    board, _ = small_board()
    files = exported(replace(board, base_url=""), tmp_path)
    assert "source" not in files[f"models/{ID}/.eval_results/roi_bench_v1_hard_512_direct.yaml"][0]


@pytest.mark.parametrize(
    "change",
    [{"replaced_by": "model-ba9876543210"}, {"submission": {"draft": True}}, {"metadata": {"open_weights": False}}],
)
def test_drafts_replaced_submissions_and_closed_models_are_left_out(change, tmp_path):
    board, _ = small_board()
    files = exported(with_entries(board, changed(board.entries[0], **change)), tmp_path)
    assert list(files) == ["dataset/eval.yaml", "models.json"]
    assert files["models.json"] == {}


def test_an_undefined_score_is_no_result(tmp_path):
    board, _ = small_board()
    entry = board.entries[0]
    runs = [replace(run, numbers={**run.numbers, "score": Interval(None)}) for run in entry.graded.runs[:1]]
    entry = replace(entry, graded=replace(entry.graded, runs=(*runs, *entry.graded.runs[1:])))
    paths = [path for path in exported(with_entries(board, entry), tmp_path) if "eval_results" in path]
    assert len(paths) == 2


def test_hostile_text_stays_text_and_names_no_path(tmp_path):
    files = exported(hostile_board(), tmp_path)
    notes = [entry["notes"] for path, found in files.items() if "eval_results" in path for entry in found]
    assert any("<script>" in text for text in notes)
    assert all(len(text) <= LONGEST_NOTES and not re.search(r"[\x00-\x1f\ud800\u202e]", text) for text in notes)
    assert all(re.fullmatch(r"[a-z0-9_.-]+(/[a-z0-9_.-]+)*", path) and ".." not in path for path in files)
    assert json.loads((tmp_path / "models.json").read_text(encoding="utf-8"))


def test_long_notes_are_cut(tmp_path):
    board, _ = small_board(version="v" * 700)
    found = exported(board, tmp_path)[f"models/{ID}/.eval_results/roi_bench_v1_hard_512_direct.yaml"]
    assert len(found[0]["notes"]) == LONGEST_NOTES
    assert found[0]["notes"].endswith("…")


@pytest.mark.parametrize("identity", ["../../etc-0123456789ab", "/etc", "a/b", "", ".hidden", "a" * 200])
def test_an_id_that_leads_elsewhere_is_refused(identity, tmp_path):
    board, _ = small_board()
    board = with_entries(board, changed(board.entries[0], submission={"id": identity}))
    with pytest.raises(RecordError, match=re.escape(repr(identity)[:79])):
        export_hugging_face(board, tmp_path / "out")


@pytest.mark.parametrize("name", ["a/b/c", "no spaces", "--", ""])
def test_the_dataset_must_have_a_name_of_the_hub(name, tmp_path):
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        export_hugging_face(small_board()[0], tmp_path, dataset_id=name)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "out"))):
        export_hugging_face(small_board()[0], tmp_path / "out")


def test_the_same_board_gives_the_same_bytes(tmp_path):
    one, two = (export_hugging_face(small_board()[0], tmp_path / name) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
