"""The real ``lm_eval`` command on the shipped tiny model, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.cli.regrade import regrade
from roi_bench.exams.tiny import model_path
from tests.support.lm_eval_process import accelerate, lm_eval
from tests.support.messages import shown_in

pytestmark = pytest.mark.slow

HARD, MEDIUM = "roi_tiny_hard_128", "roi_tiny_medium_128"


def run_arguments(output: Path, *more: str, tasks: str = HARD, limit: int = 13) -> list[str]:
    return [
        *("run", "--model", "hf", "--model_args", f"pretrained={model_path()},dtype=float32", "--device", "cpu"),
        *("--tasks", tasks, "--batch_size", "8", "--limit", str(limit), "--output_path", str(output)),
        *("--log_samples", *more),
    ]


def results_in(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("results_*.json")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def numbers(folder: Path, task: str = HARD) -> dict[str, Any]:
    return {key: value for key, value in results_in(folder)["results"][task].items() if key.endswith(",none")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One plain run of two tasks, with its output."""
    folder = tmp_path_factory.mktemp("plain")
    done = lm_eval(*run_arguments(folder, tasks=f"{HARD},{MEDIUM}"))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_the_table_shows_score_and_regret_with_error_bars(plain: tuple[Path, str]) -> None:
    _, printed = plain
    for task in (HARD, MEDIUM):
        assert task in printed
    for metric in ("score", "regret", "score_easy", "p1_acc", "easy_acc", "skip_rate", "tokens", "budget_use"):
        rows = [line for line in printed.splitlines() if f"|{metric} " in line]
        assert len(rows) == 2, (metric, printed)
        assert all("±" in row for row in rows)


def test_regrade_reproduces_every_number_of_a_plain_run(plain: tuple[Path, str]) -> None:
    done = CliRunner().invoke(regrade, [str(plain[0]), "--json"])
    assert done.exit_code == 0, done.output
    for task in json.loads(done.output):
        assert len(task["numbers"]) > 50
        assert all(number["equal"] for number in task["numbers"].values())
        recorded = {key.removesuffix(",none") for key in numbers(plain[0], task["task"])}
        assert {name for name in recorded if not name.endswith("_stderr_stderr")} == set(task["numbers"])


def test_regrade_finds_an_altered_response(plain: tuple[Path, str], tmp_path: Path) -> None:
    (source,) = plain[0].rglob("results_*.json")
    for path in source.parent.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.name.startswith(f"samples_{HARD}"):
            lines = text.splitlines()
            sample = json.loads(lines[0])
            sample["resps"][0][0] = "### Problem 1\n\\boxed{NA}"
            text = "\n".join([json.dumps(sample), *lines[1:]]) + "\n"
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = CliRunner().invoke(regrade, [str(tmp_path), "--json"])
    assert done.exit_code == 1
    changed = {
        task["task"]: [n for n, row in task["numbers"].items() if not row["equal"]] for task in json.loads(done.output)
    }
    assert "skip_rate" in changed[HARD]
    assert changed[MEDIUM] == []


def test_chat_template_system_instruction_and_cache(plain: tuple[Path, str], tmp_path: Path) -> None:
    options = ["--apply_chat_template", "--system_instruction", "Be brief.", "--use_cache", str(tmp_path / "cache")]
    first = lm_eval(*run_arguments(tmp_path / "first", *options, limit=4))
    assert first.returncode == 0, first.stderr[-3000:]
    assert f"{HARD} [system_instruction]" in first.stdout
    second = lm_eval(*run_arguments(tmp_path / "second", *options, limit=4))
    assert second.returncode == 0, second.stderr[-3000:]
    assert "Cached requests: 8, Requests remaining: 0" in second.stdout + second.stderr
    assert numbers(tmp_path / "first") == numbers(tmp_path / "second")
    assert CliRunner().invoke(regrade, [str(tmp_path / "first")]).exit_code == 0


def test_two_processes_give_the_numbers_of_one(plain: tuple[Path, str], tmp_path: Path) -> None:
    done = accelerate("2", "lm_eval", *run_arguments(tmp_path))  # 13 exams: unequal shares
    assert done.returncode == 0, done.stderr[-3000:]
    assert results_in(tmp_path)["results"][HARD] == results_in(plain[0])["results"][HARD]


def test_exams_split_over_two_processes_merge_to_the_numbers_of_one() -> None:
    found = []
    for processes in ("2", "1"):
        done = accelerate(processes, "tests.harness.two_processes", HARD, "13")  # 13: unequal shares, one padded
        assert done.returncode == 0, done.stderr[-3000:]
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        found.append(json.loads(line.removeprefix("RESULT ")))
    two, one = found
    assert (two["world"], one["world"]) == (2, 1)
    assert two["exams"] == one["exams"] == [f"tiny/0/{index:03d}" for index in range(13)]
    assert two["numbers"] == one["numbers"]
    assert two["symbolic"] == one["symbolic"] == {"correct": True, "method": "symbolic"}


def test_refused_settings_end_in_one_line(tmp_path: Path) -> None:
    done = lm_eval(*run_arguments(tmp_path, "--num_fewshot", "2"))
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("roi-bench: ")
    assert shown_in(last, HARD, "--num_fewshot 2")
    assert "Traceback" not in done.stderr
