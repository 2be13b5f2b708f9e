"""``roi-api`` as plain lm_eval names it: its own journal, its cache, and where the stock backend moves answers."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from roi_bench.cli.regrade import regrade
from roi_bench.errors import UsageError
from roi_bench.exams.sets import load_exams
from roi_bench.harness import bridge
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from roi_bench.scoring.prompts import exam_messages
from tests.api.exam_answers import empty_for
from tests.api.provider_server import Fault, ProviderServer
from tests.harness.harness_runs import simple_evaluate
from tests.support.messages import shown_in, shows
from tests.support.roi_runs import HARD, journal_in
from tests.support.warm_process import run as run_process

STOCK_MOVES_ANSWERS = "lm_eval 0.4.13: a None from a concurrent request lets --use_cache shift all later answers"


def expected_text(exam_id: str, order: str, respond: Any) -> str | None:
    exam = {exam.id: exam for exam in load_exams("tiny")}[exam_id]
    messages = exam_messages([problem.question for problem in exam.ordered(order)], 128)
    content: str | None = respond({"messages": messages}).content
    return content


def forget_clients() -> None:
    """Have litellm close the clients that lm_eval's own model leaves open here, not in the midst of another test."""
    import litellm

    litellm.in_memory_llm_clients_cache.flush_cache()
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "model",
    ["roi-api", pytest.param("litellm", marks=pytest.mark.xfail(raises=AssertionError, reason=STOCK_MOVES_ANSWERS))],
)
def test_null_contents_move_no_answer_with_concurrency_and_cache(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.install()
    respond = empty_for(3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with ProviderServer(respond, delay=lambda number: 0.02 * (number % 3)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)  # the stock backend hands no base_url on
        arguments = {"model": "openai/a-model", "num_concurrent": 8}
        if model == "roi-api":
            arguments |= {"base_url": server.url}
        results = simple_evaluate(
            [HARD],
            model=model,
            model_args=arguments,
            metadata=None,
            limit=12,
            apply_chat_template=True,
            use_cache=str(tmp_path / "cache"),
        )
    samples = results["samples"][HARD]
    assert len(samples) == 12
    for sample in samples:
        for (text,), order in zip(sample["resps"], ("hard", "easy"), strict=True):
            content = expected_text(sample["doc"]["exam_id"], order, respond)
            assert text in ((content,) if content is not None else ("", None, "<|roi_bench:no_response|>"))


def test_a_chat_endpoint_refuses_raw_text_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ProviderServer(empty_for(3)) as server:
        arguments = {"model": "a-model", "base_url": server.url}
        with pytest.raises(UsageError, match=shows("--apply_chat_template", "endpoint=completions")):
            simple_evaluate([HARD], model="roi-api", model_args=arguments, metadata=None, limit=1)
        assert server.books == []
        simple_evaluate(
            [HARD], model="roi-api", model_args={**arguments, "endpoint": "completions"}, metadata=None, limit=1
        )
        assert len(server.books) == 2


def lm_eval(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = run_process(["-m", "lm_eval", "run", *arguments], environment, folder)
    assert done.returncode == code, done.stderr[-3000:]
    return done


def command(server: ProviderServer, *more: str) -> list[str]:
    return [
        *("--model", "roi-api", "--model_args", f"model=a-model,base_url={server.url},retry_wait=0.02"),
        *("--tasks", HARD, "--limit", "5", "--log_samples", "--output_path", "results"),
        *("--apply_chat_template", *more),
    ]


@pytest.mark.slow
def test_the_lm_eval_command_resumes_and_its_numbers_come_back_from_its_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"is": True}

    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        return Fault("status", 400, message="no") if broken["is"] and number == 4 else None

    with ProviderServer(empty_for(3), faults=faults) as server:
        done = lm_eval(tmp_path, *command(server), code=1)
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("roi-bench: ")
        assert shown_in(last, 1, 10, "(no)")
        assert not list((tmp_path / "results").rglob("results_*.json"))
        broken["is"] = False
        shown = lm_eval(tmp_path, *command(server))
        assert len(server.books) == 11
        monkeypatch.chdir(tmp_path)  # roi-bench run goes on with the same journal, and asks nothing
        run([item for item in command(server) if item not in ("--log_samples", "--output_path", "results")])
        assert len(server.books) == 11
    assert "|score " in shown.stdout
    journal = journal_in(tmp_path / "roi-bench-results")
    assert sum(entry.response is not None for entry in read_journal(journal)[1].values()) == 10
    (samples,) = (tmp_path / "results").rglob("samples_*.jsonl")
    first = json.loads(samples.read_text().splitlines()[0])
    assert first["doc"]["usage"][0][0]["source"] == "provider"
    regraded = CliRunner().invoke(regrade, [str(tmp_path / "results"), "--json"])
    assert regraded.exit_code == 0, regraded.output
    numbers = json.loads(regraded.output)[0]["numbers"]
    assert numbers["empty"]["recorded"] > 0
    assert isinstance(numbers["tokens"]["recorded"], float)
