"""``profile``, ``allocate`` and ``report`` as a user runs them, on what the real ``lm_eval`` wrote."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from roi_bench.cli.main import main
from roi_bench.exams.tiny import TINY_BUDGETS, model_path
from roi_bench.scoring.prompts import BASELINES
from tests.support.lm_eval_process import lm_eval
from tests.support.messages import missing

BUDGET = TINY_BUDGETS[0]
TASK, SOLO = f"roi_tiny_hard_{BUDGET}", f"roi_tiny_solo_{BUDGET}"
EXAMS = 12

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the direct prompt, the four baselines and a solo profile, written by plain ``lm_eval``."""
    path = tmp_path_factory.mktemp("analysis")
    common = ["run", "--model", "hf", "--model_args", f"pretrained={model_path()},dtype=float32", "--device", "cpu"]
    common += ["--batch_size", "64", "--log_samples"]
    tasks = ",".join([TASK, *(f"{TASK}_{name}" for name in BASELINES)])
    exams = lm_eval(*common, "--tasks", tasks, "--limit", str(EXAMS), "--output_path", str(path / "exams"))
    assert exams.returncode == 0, exams.stderr[-3000:]
    solo = lm_eval(
        *(*common, "--tasks", SOLO, "--limit", str(3 * EXAMS), "--metadata", '{"repeats": 4}'),
        *("--output_path", str(path / "solo")),
    )
    assert solo.returncode == 0, solo.stderr[-3000:]
    return path


@pytest.fixture(scope="module")
def profile(folder: Path) -> Path:
    path = folder / "profile.json"
    with pytest.raises(SystemExit) as ended:
        main(["profile", str(folder / "solo"), "--out", str(path)])
    assert ended.value.code == 0
    return path


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    written = capsys.readouterr()
    return int(ended.value.code or 0), written.out, written.err


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_plain_lm_eval_runs_are_regraded_exactly_in_every_form(folder, capsys):
    code, out, err = command(capsys, "regrade", folder / "exams", folder / "solo")
    assert code == 0, out + err


def test_a_profile_holds_every_sample_and_is_the_same_every_time(folder, profile, capsys):
    value = json.loads(profile.read_text(encoding="utf-8"))
    assert (value["cap"], len(value["problems"]), value["exam_set"]) == (BUDGET, 3 * EXAMS, "tiny")
    assert {len(costs) for costs, _ in value["problems"].values()} == {4}
    assert value["skip_cost"] == 5  # two line ends, header, box, NA
    again = folder / "again.json"
    code, out, _ = command(capsys, "profile", folder / "solo", "--out", again)
    assert code == 0
    assert again.read_bytes() == profile.read_bytes()
    assert re.search(r"^easy +12 +4 ", out, re.MULTILINE)


def test_the_report_shows_the_baselines_side_by_side_with_intervals(folder, capsys, tmp_path):
    code, out, err = command(capsys, "report", folder / "exams", folder / "solo", "--out", tmp_path / "report")
    assert code == 0, err
    for name in ("direct", *BASELINES):
        row = re.search(rf"^{name} +tiny hard {BUDGET} +{EXAMS} +.*$", out, re.MULTILINE)
        assert row is not None, name
        assert re.search(r"\d\.\d\d \[-?\d\.\d\d, \d\.\d\d\]", row[0]), row[0]
    scores = read_csv(tmp_path / "report" / "scores.csv")
    assert [row["run"] for row in scores] == ["direct", *BASELINES]
    (results,) = (folder / "exams").rglob("results_*.json")
    recorded = json.loads(results.read_text(encoding="utf-8"))["results"]
    assert float(scores[0]["score"]) == recorded[TASK]["score,none"]
    allocation = read_csv(tmp_path / "report" / "allocation.csv")
    assert any(float(row["V_replay"]) for row in allocation)
    for row in allocation:
        if float(row["V_replay"]):  # else SR is undefined
            product = float(row["V_DP"]) * float(row["AE"]) * float(row["SR"])
            assert product == pytest.approx(float(row["score"]), abs=1e-12)
        else:
            assert (row["AE"], row["SR"]) == ("0.0", "")
    pictures = {path.stem for path in (tmp_path / "report").glob("*.svg")}
    assert {f"scores_tiny_hard_{BUDGET}", "budget_sweep_hard", "budget_sweep_easy"} <= pictures
    assert {path.stem for path in (tmp_path / "report").glob("*.png")} == pictures
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| run |" in markdown
    assert "](budget_sweep_hard.svg)" in markdown


def test_a_report_is_the_same_every_time(folder, capsys, tmp_path):
    for name in ("one", "two"):
        assert command(capsys, "report", folder, "--out", tmp_path / name)[0] == 0
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


def test_allocate_tells_what_the_profile_is_worth(profile, folder, capsys, tmp_path):
    code, out, err = command(
        capsys, "allocate", profile, "--results", folder / "exams", "--budgets", f"32,{BUDGET}", "--out", tmp_path
    )
    assert code == 0, err
    assert missing(["12 of 480 exams", "do_sample=True, temperature=0.7"], err) == []
    values = read_csv(tmp_path / "values.csv")
    assert [(row["order"], row["budget"]) for row in values] == [
        (order, budget) for order in ("easy", "medium", "hard") for budget in ("32", str(BUDGET))
    ]
    for row in values:
        assert float(row["in order"]) <= float(row["V_DP in sample"]) + 1e-9 <= float(row["hindsight"]) + 2e-9
    assert "Skill, allocation, interference" in out
    assert (tmp_path / "budget_sweep_medium.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = command(capsys, "allocate", profile, "--order", "easy", "--format", "markdown")
    assert code == 0
    assert out.count("| easy |") == 5
    assert "| hard |" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (
            ["allocate", "{profile}", "--budgets", "0"],
            2,
            ["'0'", "tokens", "128"],
        ),
        (["allocate", "{profile}", "--budgets", "64,x"], 2, ["'x'", "tokens"]),
        (["allocate", "{profile}", "--budgets", "129"], 2, ["'129'", "128"]),
        (["allocate", "{folder}/absent.json"], 5, ["absent.json"]),
        (["allocate", "{results}"], 5, ["{results}", "roi-bench profile"]),
        (["allocate", "{folder}/solo"], 2, ["solo", "roi-bench profile"]),
        (["allocate", "{profile}", "--budgets", "²"], 2, ["'²'", "tokens"]),
        (["allocate", "{profile}", "--out", "{results}"], 2, ["--out", "file"]),
        (["allocate", "{profile}", "--out", "{results}/below"], 2, ["below"]),
        (["profile", "{folder}/solo", "--out", "{results}/p.json"], 2, ["{results}"]),
        (["allocate", "{profile}", "--results", "{folder}/solo"], 2, ["solo", "exam task"]),
        (["profile", "{folder}/exams"], 2, ["exams", "solo task"]),
        (
            ["profile", "{folder}", "--task", "roi_solo_512"],
            2,
            ["'roi_solo_512'", SOLO],
        ),
        (["report", "{folder}/solo"], 2, ["solo", "exam task"]),
        (["report", "{folder}/nowhere"], 2, ["nowhere", "results_*.json"]),
        (["report", "{folder}/exams", "--profile", "{results}"], 5, ["{results}", "roi-bench profile"]),
    ],
)
def test_bad_input_ends_in_one_line(arguments, code, facts, folder, profile, capsys):
    (results,) = (folder / "exams").rglob("results_*.json")
    places = {"profile": profile, "folder": folder, "results": results}
    found, _, err = command(capsys, *(argument.format(**places) for argument in arguments))
    lines = [line for line in err.splitlines() if line.startswith("roi-bench: ")]
    assert (found, "Traceback" in err) == (code, False), err
    assert missing([fact.format(**places) for fact in facts], lines[-1]) == []


def test_the_profile_of_another_model_is_refused(profile, folder, capsys, tmp_path):
    value = json.loads(profile.read_text(encoding="utf-8"))
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**value, "model": "another"}), encoding="utf-8")
    code, _, err = command(capsys, "allocate", other, "--results", folder / "exams")
    assert code == 2
    assert missing(["another", "--any-model"], err) == []
    assert command(capsys, "allocate", other, "--results", folder / "exams", "--any-model")[0] == 0
    code, _, err = command(capsys, "report", folder / "exams", "--profile", other)
    assert code == 0
    assert missing(["another", "tiny", "cap 128"], err) == []
