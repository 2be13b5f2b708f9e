"""``roi-bench train`` as typed: help, refusals in one line, dry runs. The stages: tests/training."""

import json

import pytest

from roi_bench.cli.main import main
from roi_bench.rewards import COLUMNS
from roi_bench.training.plan.recipe import load_recipe, stage_settings
from tests.support.messages import missing


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    shown = capsys.readouterr()
    return ended.value.code, shown.out, shown.err


def test_help_names_every_stage(capsys):
    code, out, _ = command(capsys, "--help")
    assert code == 0
    assert [name for name in ("data", "mft", "rarl", "evaluate", "run", "inspect") if f"\n  {name} " not in out] == []


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (("mft", "tniy", "--out", "x"), 2, ["'tniy'", "'tiny'"]),
        (("mft", "tiny"), 2, ["--out"]),
        (("mft", "tiny", "--out", "x", "--set", "mft.epohcs=2"), 2, ["'mft.epohcs'", "'epochs'"]),
        (("rarl", "tiny", "--out", "x", "--set", "rarl.prompts=7"), 2, ["rarl.prompts", "rarl.device_batch_size"]),
        (("rarl", "tiny", "--out", "x", "--set", "rarl.generations=1"), 2, ["rarl.generations", "1"]),
        (("rarl", "tiny", "--out", "x"), 2, ["x/mft", "roi-bench train mft"]),
        (("evaluate", "tiny", "--out", "x"), 2, ["roi-bench train", "--out x"]),
        (("mft", "tiny", "--dry-run", "--set", "mft.trainer={warmup_stps: 3}"), 2, ["problems", 1]),
        (("rarl", "tiny", "--dry-run", "--set", "rarl.trainer={beta: 0.1}"), 2, ["problems", 1]),
        (("rarl", "tiny", "--dry-run", "--set", "rarl.trainer={lr_scheduler_type: cosin}"), 2, ["problems", 1]),
        (("mft", "tiny", "--dry-run", "--set", "mft.trainer={report_to: [tensorbord]}"), 2, ["problems", 1]),
        (("run", "tiny", "--dry-run", "--set", "mft.trainer={warmup_steps: abc}"), 2, ["problems", 1]),
        (("data", "tiny", "--out", "x", "--set", "seed=4294967296"), 2, ["seed", "4294967296"]),
        (("run", "qwen2.5-1.5b", "--dry-run"), 2, ["problems"]),  # no hub and no GPU here
    ],
)
def test_what_cannot_be_meant_ends_in_one_line(capsys, tmp_path, monkeypatch, arguments, code, facts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ended, _, err = command(capsys, *arguments)
    assert ended == code
    assert missing(facts, err) == []
    assert err.strip().splitlines()[-1].startswith("roi-bench: ")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "recipe.yaml"]


def test_a_dry_run_prints_the_plan_of_every_stage_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(capsys, "run", "tiny", "--dry-run", "--set", "seed=3")
    assert code == 0
    assert [stage for stage in ("mft", "rarl", "evaluate") if f"Plan of recipe 'tiny', {stage}" not in out] == []
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_with_other_settings_is_not_used(capsys, tmp_path):
    settings = {**stage_settings(load_recipe("test"), "mft"), "mft.epochs": 7}
    (tmp_path / "mft").mkdir()
    (tmp_path / "mft" / "training.json").write_text(json.dumps({"settings": settings}), "utf-8")
    code, _, err = command(capsys, "rarl", "test", "--out", str(tmp_path))
    assert code == 2
    assert missing([tmp_path / "mft", "mft.epochs", "7 there", "1.0 asked"], err) == []


def test_exams_are_written_for_another_trainer_and_nothing_else_is(capsys, tmp_path):
    file = tmp_path / "new" / "exams.jsonl"
    changes = ("--set", "rarl.steps=2", "--set", "rarl.evaluation_exams=3")
    code, out, _ = command(capsys, "data", "test", "--exams-jsonl", str(file), *changes)
    assert (code, out) == (0, f"{file}: 8 training exams\n")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert {name for row in rows for name in row} == {"prompt", *COLUMNS}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    code, out, _ = command(capsys, "data", "test", "--exams-jsonl", str(file), "--held-out", *changes)
    assert (code, out) == (0, f"{file}: 18 held-out exams\n")  # in three orders, under two budgets


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("data", "test", "--out", "x", "--held-out"), "--exams-jsonl"),
        (("rarl", "test", "--out", "x", "--probe"), "--dry-run"),
    ],
)
def test_options_that_belong_to_another_are_refused_without_it(capsys, tmp_path, monkeypatch, arguments, fact):
    monkeypatch.chdir(tmp_path)
    code, _, err = command(capsys, *arguments)
    assert (code, fact in err, list(tmp_path.iterdir())) == (2, True, [])


def test_inspect_of_a_folder_without_data_says_how_to_make_them(capsys, tmp_path):
    code, _, err = command(capsys, "inspect", str(tmp_path))
    assert code == 2
    assert "roi-bench train mft" in err
    code, _, err = command(capsys, "inspect", str(tmp_path), "--data", "label")
    assert (code, missing(["'labels'"], err)) == (2, [])


@pytest.mark.parametrize("stage", ["data", "mft", "rarl", "evaluate", "run"])
def test_ctrl_c_says_that_the_same_command_goes_on(capsys, tmp_path, monkeypatch, stage):
    from roi_bench.training.stages import run

    def stop(*_):
        raise KeyboardInterrupt

    for name in ("run_data", "run_mft", "run_rarl", "run_evaluation", "run_stages"):
        monkeypatch.setattr(run, name, stop)
    code, out, err = command(capsys, stage, "test", "--out", str(tmp_path))
    assert (code, out) == (130, "")
    assert err.startswith("roi-bench: interrupted")
    assert (missing([tmp_path], err), err.count("\n")) == ([], 1)
