"""API responses on their way into the journal; what was paid for survives even where the journal cannot be written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from roi_bench.api.requests import Missing, Outcome
from roi_bench.errors import RecordError
from roi_bench.records.journal import Entry, Journal, RequestKey, entry_line


class ApiEntries:
    """A context manager around asking an API: records outcomes, and rescues what the journal could not take.

    If the journal's disk is full, responses still in flight are kept, tried once more at the end, and otherwise
    written to the temporary folder, ready to be appended to the journal.

    Args:
        journal: The journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unsaved: list[Entry] = []

    def add(self, outcomes: Sequence[tuple[RequestKey, Mapping[str, Any], Outcome]]) -> list[Entry]:
        """Record ``(key, further fields, outcome)`` and return the entries when they are on the disk.

        Raises:
            RecordError: The journal cannot be written.
        """
        entries = [self._entry(key, fields, outcome) for key, fields, outcome in outcomes]
        self._unsaved += entries
        self._journal.append(self._unsaved)
        self._unsaved = []
        return entries

    def _entry(self, key: RequestKey, fields: Mapping[str, Any], outcome: Outcome) -> Entry:
        known = self._journal.entries.get(key)
        extra = {**fields, **outcome.record}
        if known is not None and (lost := known.extra.get("maybe_paid_usd")):  # by attempts of an earlier start
            extra["maybe_paid_usd"] = lost + extra.get("maybe_paid_usd", 0.0)
        if isinstance(outcome, Missing):
            return Entry(key, None, None, {**extra, "error": outcome.message})
        return Entry(key, outcome.text, outcome.usage, extra)

    def __enter__(self) -> ApiEntries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        paid = [entry for entry in self._unsaved if entry.response is not None]
        if not paid:
            return
        try:
            self._journal.append(self._unsaved)
        except RecordError as full:
            name = f"rescued-{self._journal.path.name}"
            rescued = Path(tempfile.mkdtemp(prefix="roi-bench-")) / name
            rescued.write_bytes(b"".join(entry_line(entry) for entry in paid))
            raise RecordError(
                f"{full}; {len(paid)} responses that were in flight are in {rescued}: make room, then append them with "
                f"cat {rescued} >> {self._journal.path}"
            ) from error
