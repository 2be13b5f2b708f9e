"""``roi-bench run --model roi-api`` against a local server: its arguments, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roi_bench.records.journal import read_journal
from tests.api.provider_server import ProviderServer
from tests.support.roi_runs import HARD, journal_in, samples_in

PRICES = ("input_cost_per_token=1e-6", "output_cost_per_token=1e-5")


def command(
    server: ProviderServer | str, output: Path, *more: str, tasks: str = HARD, limit: int = 6, args: Sequence[str] = ()
) -> list[str]:
    url = server if isinstance(server, str) else server.url
    model_args = ",".join(["model=a-model", f"base_url={url}", "retry_wait=0.02", *args])
    return [
        *("--model", "roi-api", "--model_args", model_args, "--tasks", tasks, "--limit", str(limit)),
        *("--output_path", str(output), *more),
    ]


def entries_in(output: Path) -> list[Any]:
    return list(read_journal(journal_in(output))[1].values())


def answers_in(output: Path, task: str = HARD) -> list[Any]:
    """Return what was answered to what, and what it took: all that has to be the same in two equal runs."""
    return [(s["doc"], s["resps"], s["usage"], s.get("usd"), s["score"], s["regret"]) for s in samples_in(output, task)]
