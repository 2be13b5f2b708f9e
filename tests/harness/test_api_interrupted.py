"""2,000 paid requests, 30 % of them failing, and three kills: in the end the same bytes, and nothing paid twice."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from roi_bench.harness.run import run
from roi_bench.records.journal import read_journal
from tests.api.exam_answers import answer_exam
from tests.api.provider_server import Fault, ProviderServer, random_faults
from tests.support.roi_runs import in_process, journal_in, results_in

TASKS = "roi_tiny_hard_128,roi_tiny_medium_128,roi_tiny_hard_256,roi_tiny_medium_256"
LIMIT = 334
REQUESTS = 6 * LIMIT
"""Hard, medium and one shared easy order, at two budgets."""

CONCURRENCY = 16
FAULTS = [Fault("status", 500), Fault("drop"), Fault("drop_mid_body"), Fault("truncated_json"), Fault("empty_body")]
FAULTS += [Fault("status", 429, "0.02"), Fault("status", 503)]
"""Duplicated replies have a test of their own: here one could repeat a reply that the killed process never got."""


def command(server: ProviderServer, output: Path) -> list[str]:
    model = f"model=a-model,base_url={server.url},retry_wait=0.01,num_concurrent={CONCURRENCY}"
    prices = "input_cost_per_token=1e-6,output_cost_per_token=1e-5"
    return [
        *("--model", "roi-api", "--model_args", f"{model},{prices}", "--tasks", TASKS, "--limit", str(LIMIT)),
        *("--output_path", str(output)),
    ]


def recorded(output: Path) -> dict[str, str]:
    """Return the responses in the journal by prompt; a torn last line is none."""
    entries = read_journal(journal_in(output))[1]
    return {key.prompt_sha256: entry.response for key, entry in entries.items() if entry.response is not None}


def samples_bytes(output: Path) -> dict[str, bytes]:
    """Return the samples files by task."""
    return {path.name.split("_2026")[0].rsplit("_20", 1)[0]: path.read_bytes() for path in output.rglob("samples_*")}


def kill_at(server: ProviderServer, output: Path, lines: int) -> None:
    """Start the run, and kill it when its journal has that many lines."""
    child = in_process(command(server, output))
    while True:
        found = list(output.rglob("journal-*.jsonl"))
        if found and found[0].read_bytes().count(b"\n") >= lines:
            break
        assert child.poll() is None, child.communicate()[1][-3000:]
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()


@pytest.mark.slow
def test_kills_and_faults_change_no_byte_and_nothing_finished_is_paid_twice(tmp_path: Path) -> None:
    broken, clean = tmp_path / "broken", tmp_path / "clean"
    at = sorted(random.Random(20261124).sample(range(100, REQUESTS - 100), 3))
    with ProviderServer(answer_exam, faults=random_faults(0.3, 3, FAULTS), delay=0.01) as server:
        seen = 0
        for lines in [*at, None]:
            before = recorded(broken) if seen else {}
            if lines is None:
                run(command(server, broken))
            else:
                kill_at(server, broken, lines)
            served = server.books[seen:]
            seen += len(served)
            # What the journal held when this start began was never asked again …
            assert not {line.prompt_sha256 for line in served} & before.keys()
            # … and within one start nothing was asked again after its response had come.
            assert set(Counter(line.prompt_sha256 for line in served if line.finished).values()) <= {1}
        finished = server.finished_per_prompt()
        assert len(finished) == REQUESTS
        assert sum(finished.values()) - REQUESTS <= 3 * CONCURRENCY  # in flight at a kill: sent, and never received
        assert sum(line.fault is not None for line in server.books) > 0.25 * REQUESTS
    with ProviderServer(answer_exam) as server:
        run(command(server, clean))
        assert len(server.books) == REQUESTS
    assert recorded(broken) == recorded(clean)
    assert samples_bytes(broken) == samples_bytes(clean)
    assert len(samples_bytes(clean)) == 4
    ours, theirs = (results_in(output) for output in (broken, clean))
    assert json.dumps(ours["results"]) == json.dumps(theirs["results"])
    assert tasks_cost(ours) == tasks_cost(theirs)


def tasks_cost(results: dict[str, Any]) -> dict[str, Any]:
    cost: dict[str, Any] = results["roi_bench"]["cost"]["tasks"]
    return cost
