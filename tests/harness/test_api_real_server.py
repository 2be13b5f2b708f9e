"""The shipped model behind a real OpenAI-compatible server (``transformers serve``) against the hf backend."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from roi_bench.exams.tiny import model_path
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from tests.api.provider_server import Fault, ProviderServer, random_faults
from tests.harness.test_run import HARD, journal_in, results_in, samples_in

SECONDS = 120
"""Time for the server to load torch and the model."""

LIMIT = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that serves the shipped model on the CPU, offline."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32", str(model_path())]
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


def ask_server(url: str, output: Path, *more: str, endpoint: str = "completions") -> None:
    arguments = f"model={model_path()},base_url={url},endpoint={endpoint},tokenizer={model_path()}"
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
