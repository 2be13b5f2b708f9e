"""Several processes of one launch: requests shared, the numbers of one process, nothing lost or asked twice."""

from __future__ import annotations

import os
import socket
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roi_bench.errors import ModelError, UsageError
from roi_bench.harness.engines import huggingface as free_memory
from roi_bench.harness.engines.huggingface import HuggingFaceEngine, batch_size_for, sharers
from roi_bench.harness.model_loading import load_model
from roi_bench.harness.processes import (
    DEVICES,
    ProcessRank,
    is_one_model,
    launch_hidden_from_vllm,
    own_devices,
    place,
    processes_of,
)
from roi_bench.records.journal import read_journal
from tests.harness.random_model import random_model
from tests.support.messages import shown_in, shows
from tests.support.roi_runs import results_in, samples_in
from tests.support.vllm_runs import FAKE, command
from tests.support.warm_process import WarmProcess, popen

__all__ = ["random_model"]

LAUNCH = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}


@pytest.fixture(autouse=True)
def no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LAUNCH, "MASTER_ADDR", DEVICES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LAUNCH.items():
        monkeypatch.setenv(name, value)


def test_the_place_is_that_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place() == ProcessRank(0, 1, 0, 1)
    for name, value in LAUNCH.items():
        monkeypatch.setenv(name, value)
    assert place() == ProcessRank(3, 4, 1, 2)
    monkeypatch.setenv("WORLD_SIZE", "many")
    assert place().size == 1


@pytest.mark.parametrize(
    ("local_rank", "arguments", "visible", "own"),
    [
        (0, {}, None, "0"),
        (1, {}, None, "1"),
        (1, {"tensor_parallel_size": 2}, None, "2,3"),
        (1, {"tensor_parallel_size": "2", "pipeline_parallel_size": 2}, None, "4,5,6,7"),
        (1, {}, "6,7", "7"),
        (1, {"tensor_parallel_size": 2}, "GPU-a,GPU-b,GPU-c,GPU-d", "GPU-c,GPU-d"),
        (1, {}, "5", None),  # the launcher gave each process its own
        (1, {"tensor_parallel_size": 2}, "4,5", None),
    ],
)
def test_each_process_of_vllm_has_gpus_of_its_own(
    local_rank: int, arguments: dict[str, Any], visible: str | None, own: str | None
) -> None:
    assert own_devices(ProcessRank(local_rank, 2, local_rank, 2), arguments, visible) == own


def test_too_few_gpus_are_said_in_one_line() -> None:
    with pytest.raises(UsageError, match=shows("CUDA_VISIBLE_DEVICES=0,1,2", 2, 4)):
        own_devices(ProcessRank(0, 2, 0, 2), {"tensor_parallel_size": 2}, "0,1,2")


@pytest.mark.usefixtures("launched")
def test_vllm_is_loaded_as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    before = dict(os.environ)
    with launch_hidden_from_vllm({}):
        assert place() == ProcessRank(0, 1, 0, 1)
        assert not {"TORCHELASTIC_USE_AGENT_STORE", *LAUNCH} & set(os.environ)
        assert os.environ[DEVICES] == "1"
    assert dict(os.environ) == {**before, DEVICES: "1"}  # vLLM may start processes later
    monkeypatch.delenv(DEVICES)
    with launch_hidden_from_vllm({"distributed_executor_backend": "external_launcher"}):
        assert dict(os.environ) == before


@pytest.mark.usefixtures("launched")
def test_processes_that_share_nothing_are_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from roi_bench.harness.engines.api_model import ApiLM

    lm = SimpleNamespace(world_size=1, rank=0)
    assert is_one_model({"tp_plan": "auto"})
    assert processes_of(lm, "hf", {"tp_plan": "auto"}) is None
    assert processes_of(lm, "dummy", {}) is None
    assert capsys.readouterr().err == ""  # said by the first process only
    monkeypatch.setenv("RANK", "0")
    assert processes_of(lm, "dummy", {}) is None
    said = capsys.readouterr().err
    assert said.startswith("roi-bench: ")
    assert shown_in(said, 4, "'dummy'")
    assert said.count("\n") == 1
    with pytest.raises(UsageError, match=shows(4, "'roi-api'")):
        processes_of(object.__new__(ApiLM), "roi-api", {})


def test_data_parallelism_by_ray_is_refused_with_what_to_use_instead() -> None:
    config = SimpleNamespace(model="vllm", model_args={"pretrained": "x", "data_parallel_size": "4"}, batch_size=1)
    with pytest.raises(UsageError, match=shows("data_parallel_size=4", "torchrun --nproc-per-node 4 -m roi_bench run")):
        load_model(config)


# --------------------------------------------------------------------------------------------- memory that is shared
@pytest.mark.parametrize(("processes", "rows"), [(1, 20), (2, 10), (3, 6), (40, 1)])
def test_processes_on_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch, processes: int, rows: int) -> None:
    model = SimpleNamespace(device=SimpleNamespace(type="cpu"))
    monkeypatch.setattr(free_memory, "free_bytes", lambda _device: 40_000)
    monkeypatch.setattr(free_memory, "bytes_per_row", lambda _model, _tokens: 1000)
    assert batch_size_for(model, 10, processes) == rows


def test_processes_share_out_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [sharers(gpu, processes) for processes in (1, 4, 5, 8)] == [1, 1, 2, 2]


def test_the_hugging_face_engine_plans_with_its_share(monkeypatch: pytest.MonkeyPatch, random_model: Path) -> None:
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=str(random_model), device="cpu", dtype="float32")
    row = free_memory.bytes_per_row(lm.model, 512)
    assert row is not None
    monkeypatch.setattr(free_memory, "free_bytes", lambda _device: 40 * row)
    assert HuggingFaceEngine(lm, longest=512).facts["batch_size"] == 20
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert HuggingFaceEngine(lm, longest=512).facts["batch_size"] == 10


# ---------------------------------------------------------------------------------------------------- whole launches
def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def start(*arguments: str, **environment: str) -> WarmProcess | subprocess.Popen[str]:
    """Start this Python with the fake vLLM; nothing says that accelerate should use the CPU."""
    paths = os.pathsep.join([str(FAKE), str(Path(__file__).parents[2])])
    known = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment}
    return popen(arguments, known)


def ended(child: WarmProcess | subprocess.Popen[str]) -> str:
    """Return what a process that did its work wrote to stderr."""
    _, stderr = child.communicate()
    assert child.returncode == 0, stderr
    return stderr


def torchrun(processes: int, *arguments: str) -> str:
    place = ("--nproc-per-node", str(processes), "--master-port", free_port())
    return ended(start("-m", "torch.distributed.run", *place, "-m", "roi_bench", *arguments))


def two_machines(
    first: dict[str, str], second: dict[str, str], *arguments: str
) -> list[WarmProcess | subprocess.Popen[str]]:
    """Start two processes that are the only ones of their machines; the folder of results is the same."""
    here = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    places = enumerate((first, second))
    return [start("-m", "roi_bench", *arguments, **here, RANK=str(rank), **more) for rank, more in places]


def asked_in(output: Path) -> list[int]:
    """Return how many responses each journal has; none may be in two of them."""
    journals = [read_journal(path)[1] for path in sorted(output.rglob("journal-*.jsonl"))]
    times = Counter(key for entries in journals for key in entries)
    assert set(times.values()) <= {1}
    return [len(entries) for entries in journals]


@pytest.mark.slow
def test_vllm_in_several_processes_gives_the_numbers_of_one_however_they_die(
    random_model: Path, tmp_path: Path
) -> None:
    ended(start("-m", "roi_bench", *command(random_model, tmp_path / "one", limit=7)))
    broken = command(random_model, tmp_path / "many", limit=7)
    children = two_machines({"FAKE_VLLM_STEP": "0.05"}, {"FAKE_VLLM_DIES_AFTER": "140"}, *broken)
    last = [child.communicate()[1].strip().splitlines()[-1] for child in children]
    assert [child.returncode for child in children] == [ModelError.exit_code] * 2
    assert all(line.startswith("roi-bench: ") for line in last)
    assert shown_in(last[0], 0, 2)
    assert shown_in(last[1], "vllm", "EngineDeadError")
    first, second = asked_in(tmp_path / "many")
    assert first == 8
    assert 0 < second < 6
    said = torchrun(3, *broken)  # it hides its own environment from vLLM, which the fake one makes sure of
    lines = [line for line in said.splitlines() if str(tmp_path) in line]
    assert [line for line in lines if shown_in(line, 3)]  # processes, and where each keeps its responses
    assert [line for line in lines if shown_in(line, 8, second)]  # responses of this journal and of others
    assert sum(asked_in(tmp_path / "many")) == 14
    assert results_in(tmp_path / "many")["results"] == results_in(tmp_path / "one")["results"]
    assert samples_in(tmp_path / "many") == samples_in(tmp_path / "one")  # in the same order
    told = [results_in(tmp_path / name)["roi_bench"] for name in ("one", "many")]
    assert [(facts["processes"], facts["resumed"]) for facts in told] == [(1, False), (3, True)]


@pytest.mark.slow
def test_hf_under_torchrun_shares_on_cpus_without_being_told(random_model: Path, tmp_path: Path) -> None:
    def hf(output: str) -> list[str]:
        arguments = f"pretrained={random_model},dtype=float32"
        return [
            *("run", "--model", "hf", "--model_args", arguments, "--device", "cpu", "--batch_size", "1"),
            *("--tasks", "roi_tiny_hard_128", "--limit", "5", "--output_path", str(tmp_path / output)),
        ]

    ended(start("-m", "roi_bench", *hf("one")))
    torchrun(2, *hf("two"))
    assert asked_in(tmp_path / "two") == [6, 4]
    assert results_in(tmp_path / "two")["results"] == results_in(tmp_path / "one")["results"]
    assert samples_in(tmp_path / "two") == samples_in(tmp_path / "one")
    for child in two_machines({}, {}, *hf("two"), "--no-resume"):
        ended(child)
    assert len(list((tmp_path / "two").rglob("superseded-*"))) == 2
    assert results_in(tmp_path / "two")["results"] == results_in(tmp_path / "one")["results"]
