"""Recorded responses as an engine: nothing is generated, all are there at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roi_bench import __version__
from roi_bench.harness.engines.batched import entries_of
from roi_bench.harness.engines.local import LocalEngine
from roi_bench.harness.engines.protocol import Asking
from roi_bench.harness.metering import generate_until


class PlaybackEngine(LocalEngine):
    """``roi-playback``.

    Args:
        lm: A :class:`roi_bench.harness.playback.PlaybackLM`.
    """

    def __init__(self, lm: Any) -> None:
        self.lm = lm

    @property
    def facts(self) -> Mapping[str, Any]:
        """The program that plays them."""
        return {"name": "playback", "version": __version__}

    def ask(self, asking: Asking) -> None:
        """Record all of them at once.

        Raises:
            RecordError: The file has no response to a request.
        """
        asking.record(entries_of(asking.missing, generate_until(self.lm, [q.instance(None) for q in asking.missing])))
