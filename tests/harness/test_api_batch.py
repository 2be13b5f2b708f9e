"""Provider batch mode through ``roi-bench run``: submit, poll, fetch, resume; the same answers as one by one."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from roi_bench.errors import ModelError, UsageError
from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from tests.api.exam_answers import answer_exam, empty_for
from tests.api.provider_batches import FAILED_BATCH
from tests.api.provider_server import ProviderServer, Reply, prompt_of
from tests.support.api_runs import PRICES, answers_in, command, entries_in
from tests.support.messages import shown_in, shows
from tests.support.roi_runs import HARD, MEDIUM, in_process, journal_in, results_in

QUICK = ("poll_seconds=0.05",)
BATCH = "--provider-batch"


def batch_lines(output: Path) -> list[dict[str, Any]]:
    (path,) = output.rglob("*/batches-*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_batch_gives_the_answers_of_single_requests_at_half_the_price(tmp_path: Path) -> None:
    with ProviderServer(empty_for(4), batch_polls=2) as server:
        run(command(server, tmp_path / "batch", BATCH, args=(*QUICK, *PRICES), limit=10))
        assert {line.path for line in server.books} == {"/v1/batches"}
        assert set(server.finished_per_prompt().values()) == {1}
    with ProviderServer(empty_for(4)) as server:
        run(command(server, tmp_path / "single", args=PRICES, limit=10))
    one, other = (
        [(doc, texts, usage, score) for doc, texts, usage, _, score, _ in answers_in(tmp_path / name)]
        for name in ("batch", "single")
    )
    assert one == other
    assert results_in(tmp_path / "batch")["results"] == results_in(tmp_path / "single")["results"]
    half, whole = (results_in(tmp_path / name)["roi_bench"]["cost"]["total_usd"] for name in ("batch", "single"))
    assert half == pytest.approx(whole / 2)
    entry = entries_in(tmp_path / "batch")[0]
    assert entry.extra["batch_id"] == batch_lines(tmp_path / "batch")[1]["batch_id"]
    assert entry.extra["sent"] == {"model": "a-model", "max_tokens": 128, "temperature": 0.0}


def test_submitting_without_waiting_and_fetching_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ProviderServer(answer_exam, batch_polls=1) as server:
        run(command(server, tmp_path, BATCH, "--no-wait", args=QUICK))
        assert "batch_" in capsys.readouterr().err
        assert not list(tmp_path.rglob("results_*.json"))
        run(command(server, tmp_path, BATCH, args=QUICK))
        assert set(server.finished_per_prompt().values()) == {1}
        assert len(server.books) == 12
    assert results_in(tmp_path)["results"][HARD]["error,none"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_poll_goes_on_with_the_batch_that_was_submitted(tmp_path: Path, number: signal.Signals) -> None:
    with ProviderServer(answer_exam, batch_polls=60) as server:
        child = in_process(command(server, tmp_path, BATCH, args=("poll_seconds=0.1",)))
        while not (found := list(tmp_path.rglob("batches-*.jsonl"))) or b"submitted" not in found[0].read_bytes():
            assert child.poll() is None, child.communicate()
            time.sleep(0.02)
        child.send_signal(number)
        _, stderr = child.communicate(timeout=60)
        if number is not signal.SIGKILL:
            assert child.returncode == 128 + number
            assert "Traceback" not in stderr
        run(command(server, tmp_path, BATCH, args=("poll_seconds=0.02",)))
        assert set(server.finished_per_prompt().values()) == {1}
        assert len(server.books) == 12


def test_a_batch_submitted_just_before_a_crash_is_found_at_the_provider(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, BATCH, "--no-wait", args=QUICK))
        (path,) = tmp_path.rglob("batches-*.jsonl")
        intended = path.read_text().splitlines(keepends=True)[0]
        path.write_text(intended)  # died after submitting, before noting the number
        run(command(server, tmp_path, BATCH, args=QUICK))
        assert set(server.finished_per_prompt().values()) == {1}
        assert len(server.books) == 12
    assert results_in(tmp_path)["results"][HARD]["error,none"] == 0


def test_a_batch_that_never_got_to_the_provider_is_submitted_anew(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        run(command(server, tmp_path, BATCH, "--no-wait", args=QUICK))
        (path,) = tmp_path.rglob("batches-*.jsonl")
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    with ProviderServer(answer_exam, port=port) as server:  # it knows of no batch
        run(command(server, tmp_path, BATCH, args=QUICK))
        assert len(server.books) == 12
    assert results_in(tmp_path)["results"][HARD]["error,none"] == 0


def test_no_resume_is_refused_while_a_batch_is_not_fetched(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, BATCH, "--no-wait", args=QUICK))
        with pytest.raises(UsageError, match=r"--no-resume.*\bbatch_\w+"):
            run(command(server, tmp_path, BATCH, "--no-resume", args=QUICK))
        run(command(server, tmp_path, BATCH, args=QUICK))
        run(command(server, tmp_path, "--no-resume", args=QUICK))
        assert len(server.books) == 24


def test_what_is_in_an_open_batch_is_not_asked_one_by_one(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, BATCH, "--no-wait", args=QUICK))
        with pytest.raises(ModelError, match=r"\bbatch_\w+.*--provider-batch"):
            run(command(server, tmp_path, args=QUICK))
        run(command(server, tmp_path, tasks="roi_tiny_hard_256", args=QUICK))  # other requests may go on
        assert {line.path for line in server.books} == {"/v1/chat/completions"}


def test_a_batch_of_several_tasks_is_fetched_by_each_and_paid_once(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        run(command(server, tmp_path, BATCH, "--no-wait", args=QUICK))  # hard and easy order
        run(command(server, tmp_path, BATCH, tasks=MEDIUM, args=QUICK))  # fetches easy, submits medium
        run(command(server, tmp_path, BATCH, args=QUICK))  # fetches hard
        assert set(server.finished_per_prompt().values()) == {1}
        assert len(server.finished_per_prompt()) == 18
    assert results_in(tmp_path)["results"][HARD]["error,none"] == 0


def test_lines_that_fail_are_missing_and_asked_again_in_another_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = {"is": True}

    def fails(name: str) -> bool:
        return failing["is"] and int(name[:2], 16) % 3 == 0

    with ProviderServer(answer_exam, batch_line_error=fails) as server:
        with pytest.raises(ModelError) as raised:
            run(command(server, tmp_path, BATCH, args=QUICK, limit=10))
        missing = [entry for entry in entries_in(tmp_path) if entry.response is None]
        assert 0 < len(missing) < 20
        assert shown_in(str(raised.value), len(missing))
        assert shown_in(capsys.readouterr().err, missing[0].extra["exam"], missing[0].extra["order"])
        failing["is"] = False
        run(command(server, tmp_path, BATCH, args=QUICK, limit=10))
        assert set(server.finished_per_prompt().values()) == {1}
    assert all(entry.response is not None for entry in entries_in(tmp_path))


def test_an_expired_batch_keeps_what_it_has_and_the_rest_is_asked_again(tmp_path: Path) -> None:
    with ProviderServer(answer_exam, batch_final_status="expired") as server:
        with pytest.raises(ModelError, match=shows(10)):
            run(command(server, tmp_path, BATCH, args=QUICK, limit=10))
        url = server.url
        kept = [entry for entry in entries_in(tmp_path) if entry.response is not None]
        assert len(kept) == 10
        port = int(url.split(":")[2].split("/")[0])
    with ProviderServer(answer_exam, port=port) as server:
        run(command(server, tmp_path, BATCH, args=QUICK, limit=10))
        assert len(server.books) == 10
    assert len(read_journal(journal_in(tmp_path))[1]) == 20


def test_a_refused_batch_is_one_line_with_the_providers_reason(tmp_path: Path) -> None:
    with (
        ProviderServer(answer_exam, batch_final_status="failed") as server,
        pytest.raises(ModelError, match=rf"\bbatch_\w+.*{re.escape(FAILED_BATCH['message'])}"),
    ):
        run(command(server, tmp_path, BATCH, args=QUICK))


def test_the_limit_of_money_holds_for_batches(tmp_path: Path) -> None:
    with ProviderServer(answer_exam) as server:
        with pytest.raises(ModelError, match=shows("$0.0080")):
            run(command(server, tmp_path, BATCH, "--max-usd", "0.008", args=(*QUICK, *PRICES), limit=10))
        first = len(server.books)
        assert 5 < first < 20
        run(command(server, tmp_path, BATCH, "--max-usd", "1", args=(*QUICK, *PRICES), limit=10))
        assert len(server.books) == 20
    assert set(server.finished_per_prompt().values()) == {1}


def test_a_provider_without_batch_mode_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    arguments = command("http://127.0.0.1:9", tmp_path, BATCH, args=("model=anthropic/claude-sonnet-4-5",))
    with pytest.raises(ModelError, match=shows("openai", "hosted_vllm", "azure", "anthropic")):
        run(arguments)


def test_models_of_the_responses_api_are_asked_through_it_in_batches_too(tmp_path: Path) -> None:
    args = ("model=openai/gpt-5-pro", "omit=temperature", *QUICK)
    with ProviderServer(answer_exam) as server:
        words = command(server, tmp_path, BATCH, limit=5, args=args)
        words[3] = words[3].replace("model=a-model,", "")
        run(words)
        assert {line.path for line in server.books} == {"/v1/batches"}
    entries = entries_in(tmp_path)
    assert len(entries) == 10
    for entry in entries:
        assert entry.extra["sent"] == {"model": "gpt-5-pro", "max_output_tokens": 128}
        assert entry.usage is not None
        assert entry.usage.tokens > 0
    results = results_in(tmp_path)["results"][HARD]
    assert results["error,none"] == 0
    assert results["score,none"] > 0


def test_what_batch_lines_cost_is_counted_where_they_hold_no_response_or_no_usage(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> Reply:
        failed = Reply("half an ans", 128, "error", prompt_tokens=100)
        silent = Reply("\\boxed{1}", 0, usage=False)
        return failed if len(prompt_of(body)) % 2 else silent

    with ProviderServer(respond) as server, pytest.raises(ModelError, match=shows("missing")):
        run(command(server, tmp_path, BATCH, args=(*QUICK, *PRICES), limit=10))
    entries = entries_in(tmp_path)
    lost, kept = ([e for e in entries if (e.response is None) is gone] for gone in (True, False))
    assert lost
    assert kept
    price_in, price_out = (float(text.partition("=")[2]) / 2 for text in PRICES)
    assert all(e.extra["maybe_paid_usd"] == pytest.approx(100 * price_in + 128 * price_out) for e in lost)
    assert all(e.extra["maybe_paid_usd"] > 128 * price_out for e in kept)
