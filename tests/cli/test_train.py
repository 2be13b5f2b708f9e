"""``roi-bench train`` as typed: help, refusals in one line, dry runs. The stages: tests/training."""

import pytest

from roi_bench.cli.main import main


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
    ("arguments", "code", "message"),
    [
        (("mft", "tniy", "--out", "x"), 2, "unknown recipe 'tniy'; did you mean 'tiny'"),
        (("mft", "tiny"), 2, "--out is missing"),
        (("mft", "tiny", "--out", "x", "--set", "mft.epohcs=2"), 2, "unknown key 'mft.epohcs'; did you mean 'epochs'?"),
        (("rarl", "tiny", "--out", "x", "--set", "rarl.prompts=7"), 2, "does not divide"),
        (("rarl", "tiny", "--out", "x", "--set", "rarl.generations=1"), 2, "a group of one has no baseline"),
        (("rarl", "tiny", "--out", "x"), 2, "there is no model in"),
        (("evaluate", "tiny", "--out", "x"), 2, "roi-bench train"),
        (("mft", "tiny", "--dry-run", "--set", "mft.trainer={warmup_stps: 3}"), 2, "problem"),
        (("rarl", "tiny", "--dry-run", "--set", "rarl.trainer={beta: 0.1}"), 2, "problem"),
        (("rarl", "tiny", "--dry-run", "--set", "rarl.trainer={lr_scheduler_type: cosin}"), 2, "1 problems would stop"),
        (("mft", "tiny", "--dry-run", "--set", "mft.trainer={report_to: [tensorbord]}"), 2, "1 problems would stop"),
        (("run", "tiny", "--dry-run", "--set", "mft.trainer={warmup_steps: abc}"), 2, "1 problems would stop"),
        (("data", "tiny", "--out", "x", "--set", "seed=4294967296"), 2, "seed is 4294967296; expected 0 to"),
        (("run", "qwen2.5-1.5b", "--dry-run"), 2, "problems would stop this run"),  # no hub and no GPU here
    ],
)
def test_what_cannot_be_meant_ends_in_one_line(capsys, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ended, _, err = command(capsys, *arguments)
    assert ended == code
    assert message in err
    assert err.strip().splitlines()[-1].startswith("roi-bench: ")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "recipe.yaml"]


def test_a_dry_run_prints_the_plan_of_every_stage_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(capsys, "run", "tiny", "--dry-run", "--set", "seed=3")
    assert code == 0
    assert [stage for stage in ("mft", "rarl", "evaluate") if f"Plan of recipe 'tiny', {stage}" not in out] == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_belongs_to_one_recipe(capsys, tmp_path):
    out = tmp_path / "run"
    command(capsys, "rarl", "test", "--out", str(out))
    code, _, err = command(capsys, "rarl", "test", "--out", str(out), "--set", "rarl.steps=9")
    assert code == 2
    assert "holds a run of another recipe (steps: 4 there, steps: 9 asked)" in err


def test_inspect_of_a_folder_without_data_says_how_to_make_them(capsys, tmp_path):
    code, _, err = command(capsys, "inspect", str(tmp_path))
    assert code == 2
    assert "make them with roi-bench train mft" in err
    code, _, err = command(capsys, "inspect", str(tmp_path), "--data", "label")
    assert (code, "did you mean 'labels'" in err) == (2, True)


@pytest.mark.parametrize("stage", ["data", "mft", "rarl", "evaluate", "run"])
def test_ctrl_c_says_that_the_same_command_goes_on(capsys, tmp_path, monkeypatch, stage):
    from roi_bench.training.stages import run

    def stop(*_):
        raise KeyboardInterrupt

    for name in ("run_data", "run_mft", "run_rarl", "run_evaluation", "run_stages"):
        monkeypatch.setattr(run, name, stop)
    code, out, err = command(capsys, stage, "test", "--out", str(tmp_path))
    assert (code, out) == (130, "")
    assert err == f"roi-bench: interrupted; give the same command again to go on from what is in {tmp_path}\n"
