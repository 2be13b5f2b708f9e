"""The progress bar of a run: responses, rate, tokens a second, money, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from roi_bench.records.journal import Entry

TERMINAL_INTERVAL = 0.5
LOG_INTERVAL = 30.0
"""Seconds between two updates on a terminal, and in a log file, where every update is a line."""


class Progress:
    """A context manager around a run over ``total`` questions, of which ``missing`` are still to be asked."""

    def __init__(self, total: int, missing: int, visible: bool) -> None:
        self._total = total
        self._done = total - missing
        self._visible = visible
        self._tokens = 0
        self._usd = 0.0

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        self._bar = tqdm(
            total=self._total,
            initial=self._done,
            desc="responses" if not self._done else f"responses ({self._done} from the journal)",
            unit="resp",
            disable=not self._visible,
            mininterval=TERMINAL_INTERVAL if sys.stderr.isatty() else LOG_INTERVAL,
            dynamic_ncols=True,
        )
        self._begin = time.monotonic()
        return self

    def add(self, entries: Sequence[Entry]) -> None:
        """Count finished responses."""
        self._tokens += sum(entry.usage.tokens for entry in entries if entry.usage is not None)
        self._usd += sum(entry.extra.get("usd") or 0.0 for entry in entries)
        if self._tokens:
            rate = self._tokens / max(time.monotonic() - self._begin, 1e-9)
            money = f", ${self._usd:.4f}" if self._usd else ""
            self._bar.set_postfix_str(f"{rate:,.0f} tokens/s{money}", refresh=False)
        self._bar.update(len(entries))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
