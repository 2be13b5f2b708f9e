"""Files of raw responses in a submission: gzipped JSON, one line a document, with tokens and money beside each text."""

from __future__ import annotations

import gzip
import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from roi_bench.errors import RecordError
from roi_bench.leaderboard.limits import LINE_BYTES, LINE_DEPTH, TEXT_CHARACTERS, UNPACKED_BYTES
from roi_bench.leaderboard.recorded_tokens import packed_lengths
from roi_bench.leaderboard.safe_files import unpacked_lines
from roi_bench.leaderboard.strict_json import SHOWN_OF_MESSAGE, parse_strict, shown
from roi_bench.records.journal import parse_usage
from roi_bench.records.results import Costs, RecordedDocument
from roi_bench.scoring.kinds import KINDS
from roi_bench.scoring.outcomes import Response

MOST_USD = 1e6
"""No single response costs more, in USD."""

_RESPONSE_KEYS = {"text", "usage", "token_lengths", "usd"}


@dataclass(frozen=True, slots=True)
class Responses:
    """The content of a file of responses.

    Attributes:
        documents: Raw responses in file order.
        token_lengths: Lengths of the tokens of every text, by text; None where no tokenizer was known.
        usd: Costs by document.
        unpacked: Bytes of the file's lines, line ends left out; 0 for what was not read from a file.
    """

    documents: tuple[RecordedDocument, ...]
    token_lengths: Mapping[str, array[int]] | None
    usd: Mapping[str, Costs]
    unpacked: int = 0


def write_responses(responses: Responses) -> bytes:
    """Return ``responses`` as the bytes of their file; the same responses give the same bytes."""
    lines = []
    for document in responses.documents:
        costs = responses.usd.get(document.id)
        requests = [
            [
                {
                    "text": response.text,
                    "usage": None if response.usage is None else asdict(response.usage),
                    "token_lengths": _lengths(responses, response),
                    "usd": None if costs is None else costs[request][sample],
                }
                for sample, response in enumerate(samples)
            ]
            for request, samples in enumerate(document.requests)
        ]
        row = {"id": document.id, "requests": requests}
        lines.append(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    return gzip.compress("".join(lines).encode("utf-8"), compresslevel=9, mtime=0)


def _lengths(responses: Responses, response: Response) -> list[int] | None:
    if responses.token_lengths is None or not isinstance(response.text, str):
        return None
    return list(responses.token_lengths[response.text])


def read_responses(
    packed: bytes,
    form: str,
    repeats: int,
    documents: int,
    where: str,
    *,
    longest: int = TEXT_CHARACTERS,
    most: int = UNPACKED_BYTES,
) -> Responses:
    """Return the responses in a file that a stranger wrote.

    Args:
        packed: Content of the file.
        form: ``exam``, ``knapsack`` or ``solo``.
        repeats: Samples per request.
        documents: How many lines it must have.
        where: Name of the file in messages.
        longest: Characters of a response at most.
        most: Bytes to which the file may unpack at most.

    Raises:
        RecordError: It is damaged, has another number of lines or responses, or values that no run writes.
    """
    reader = _Reader(form, repeats, longest)
    number = unpacked = 0
    try:
        for number, line in enumerate(unpacked_lines(packed, most), start=1):
            unpacked += len(line)
            if number > documents:
                raise ValueError(f"has more lines than the {documents} that submission.json tells")
            reader.read(parse_strict(line, largest=LINE_BYTES, deepest=LINE_DEPTH))
    except ValueError as error:
        raise RecordError(f"{where}:{number or 1}: {shown(error, SHOWN_OF_MESSAGE)}") from None
    if number != documents:
        raise RecordError(f"{where}: has {number} lines, submission.json tells {documents}; a document is missing")
    lengths = reader.lengths if reader.counted is True else None
    return Responses(tuple(reader.documents), lengths, reader.usd, unpacked)


def responses_sha256(documents: Sequence[RecordedDocument]) -> str:
    """Return the SHA-256 over the ids of ``documents`` and the texts of their responses.

    It is the same for the same responses, however their file is ordered or compressed, and whatever stands beside the
    texts.
    """
    digest = hashlib.sha256()
    for document in sorted(documents, key=lambda one: one.id):
        texts = [[response.text for response in samples] for samples in document.requests]
        digest.update(json.dumps([document.id, texts], separators=(",", ":")).encode("ascii") + b"\n")
    return digest.hexdigest()


class _Reader:
    """Reads lines one by one; what has to hold between them is kept here."""

    def __init__(self, form: str, repeats: int, longest: int) -> None:
        self.requests, self.repeats, self.longest = KINDS[form].requests, repeats, longest
        self.documents: list[RecordedDocument] = []
        self.seen: set[str] = set()
        self.lengths: dict[str, array[int]] = {}
        self.counted: bool | None = None
        self.usd: dict[str, Costs] = {}

    def read(self, row: Any) -> None:
        """Take in one line.

        Raises:
            ValueError: It is no line of responses.
        """
        if not isinstance(row, dict) or set(row) != {"id", "requests"} or not isinstance(row["id"], str):
            raise ValueError("not an object of id and requests")
        name, requests = row["id"], row["requests"]
        if name in self.seen:
            raise ValueError(f"{shown(name)} occurs twice")
        self.seen.add(name)
        if (
            not isinstance(requests, list)
            or [len(samples) if isinstance(samples, list) else -1 for samples in requests]
            != [self.repeats] * self.requests
        ):
            raise ValueError(f"{shown(name)} has not {self.repeats} responses to each of {self.requests} requests")
        read = [[self._response(response) for response in samples] for samples in requests]
        self.documents.append(RecordedDocument(name, tuple(tuple(found for found, _ in samples) for samples in read)))
        costs = tuple(tuple(usd for _, usd in samples) for samples in read)
        if any(usd is not None for samples in costs for usd in samples):
            self.usd[name] = costs

    def _response(self, found: Any) -> tuple[Response, float | None]:
        if not isinstance(found, dict) or set(found) != _RESPONSE_KEYS:
            raise ValueError(f"a response is not an object of {', '.join(sorted(_RESPONSE_KEYS))}")
        text, lengths, usd = found["text"], found["token_lengths"], found["usd"]
        if not isinstance(text, str | None):
            raise ValueError("a response's text is neither text nor null")
        if text is not None and len(text) > self.longest:
            raise ValueError(f"a response of {len(text)} characters; none has more than {self.longest}")
        if not (usd is None or (type(usd) in (int, float) and 0 <= usd <= MOST_USD)):
            raise ValueError(f"usd must be null or an amount, not {shown(usd)}")
        self._take_lengths(text, lengths)
        return Response(text, parse_usage(found["usage"])), None if usd is None else float(usd)

    def _take_lengths(self, text: str | None, lengths: Any) -> None:
        if text is None:
            if lengths is not None:
                raise ValueError("token_lengths without a text")
            return
        if self.counted is None:
            self.counted = lengths is not None
        if (lengths is not None) != self.counted:
            raise ValueError("token_lengths stand beside some texts of the file and not beside others")
        if lengths is None:
            return
        if not isinstance(lengths, list):
            raise ValueError("token_lengths is neither a list nor null")
        known = packed_lengths(lengths)
        if self.lengths.setdefault(text, known) != known:
            raise ValueError("the same text has other token_lengths than before")


def usd_of(costs: Iterable[Costs]) -> float | None:
    """Return the sum of all known costs, None where none is known."""
    known = [usd for of_one in costs for samples in of_one for usd in samples if usd is not None]
    return sum(known) if known else None
