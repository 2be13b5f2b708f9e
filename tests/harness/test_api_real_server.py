"""The shipped model behind a real OpenAI-compatible server (``transformers serve``) against the hf backend."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roi_bench.exams.tiny import model_path
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from tests.api.provider_server import Fault, ProviderServer, random_faults
from tests.support.roi_runs import HARD, journal_in, results_in, samples_in

SECONDS = 120
"""Time for the server to load torch and the model."""

LIMIT = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that serves the shipped model on the CPU, offline."""
    with serving(model_path(), tmp_path_factory.mktemp("server") / "log") as url:
        yield url


@contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32", str(model)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as child:
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}/health", child, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            child.terminate()
            child.wait(30)


def wait_until_healthy(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert child.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"no server within {SECONDS} s: {log.read_text()[-3000:]}")


def ask_server(
    url: str, output: Path, *more: str, endpoint: str = "completions", model: Path | None = None, args: str = ""
) -> None:
    arguments = f"model={model or model_path()},base_url={url},endpoint={endpoint},tokenizer={model_path()}{args}"
    arguments += ",retry_wait=0.05,max_retries=30"
    run(
        [
            *("--model", "roi-api", "--model_args", arguments, "--tasks", HARD, "--limit", str(LIMIT)),
            *("--output_path", str(output), *more),
        ]
    )


def ask_hf(output: Path, *more: str) -> None:
    run(
        [
            *("--model", "hf", "--model_args", f"pretrained={model_path()},dtype=float32", "--device", "cpu"),
            *("--tasks", HARD, "--limit", str(LIMIT), "--batch_size", "1", "--output_path", str(output), *more),
        ]
    )


def answers_in(output: Path) -> list[object]:
    """Return texts, tokens and finish reasons; only who counted the tokens may differ."""
    return [
        (s["resps"], [[(u["tokens"], u["finish_reason"]) for u in side] for side in s["usage"]])
        for s in samples_in(output)
    ]


@pytest.fixture(scope="module")
def by_hf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("hf")
    ask_hf(output)
    return output


@pytest.mark.slow
def test_raw_text_over_http_gives_the_answers_of_the_hf_backend(server: str, by_hf: Path, tmp_path: Path) -> None:
    ask_server(server, tmp_path)
    assert answers_in(tmp_path) == answers_in(by_hf)
    ours, theirs = (results_in(folder)["results"][HARD] for folder in (tmp_path, by_hf))
    numbers = {key: value for key, value in theirs.items() if key.endswith(",none")}
    assert {key: ours[key] for key in numbers} == numbers
    assert numbers["score_easy,none"] > 1


@pytest.mark.slow
def test_a_model_with_opinions_is_neutral_where_the_server_is_named(by_hf: Path, tmp_path: Path) -> None:
    """The folder's own file penalises repetition: that holds unless ``server=transformers`` is said."""
    model = tmp_path / "model"
    shutil.copytree(model_path(), model)
    own = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**own, "repetition_penalty": 1.5}))
    named = ",server=transformers"
    with serving(model, tmp_path / "log") as url:
        ask_server(url, tmp_path / "bare", model=model)
        ask_server(url, tmp_path / "named", model=model, args=named)
        ask_server(url, tmp_path / "chat", "--apply_chat_template", endpoint="chat", model=model, args=named)
        ask_server(url, tmp_path / "drawn", "--gen_kwargs", "temperature=1.5", model=model, args=named)
    ask_hf(tmp_path / "hf", "--apply_chat_template")
    assert answers_in(tmp_path / "bare") != answers_in(by_hf)
    assert answers_in(tmp_path / "named") == answers_in(by_hf)
    assert answers_in(tmp_path / "chat") == answers_in(tmp_path / "hf")
    assert answers_in(tmp_path / "drawn") != answers_in(by_hf)


@pytest.mark.slow
def test_conversations_over_http_give_the_answers_of_the_hf_backend(server: str, tmp_path: Path) -> None:
    ask_server(server, tmp_path / "api", "--apply_chat_template", endpoint="chat")
    ask_hf(tmp_path / "hf", "--apply_chat_template")
    assert answers_in(tmp_path / "api") == answers_in(tmp_path / "hf")


@pytest.mark.slow
def test_a_faulty_line_to_the_server_changes_nothing(server: str, by_hf: Path, tmp_path: Path) -> None:
    kinds = [Fault("status", 429, "0.05"), Fault("status", 500), Fault("drop"), Fault("drop_mid_body")]
    kinds += [Fault("status", 503), Fault("truncated_json"), Fault("duplicate"), Fault("empty_body")]
    with ProviderServer(faults=random_faults(0.6, 1, kinds), upstream=server) as proxy:
        ask_server(proxy.url, tmp_path)
        assert sum(line.fault is not None for line in proxy.books) > 3
        assert set(proxy.finished_per_prompt().values()) == {1}
    assert answers_in(tmp_path) == answers_in(by_hf)
    assert all(entry.response is not None for entry in read_journal(journal_in(tmp_path))[1].values())
