"""The hub route of the pools: rows of the Hugging Face datasets turned into rows of the folder form (SPEC section 2).

The hub has no stable ids for GSM8K and MATH, so a row's place in its dataset names it: GSM8K by row number, MATH by the
file number of the original file tree (``data/math_numbers.json``; the rows of a config stand in the order of the file
names), AIME by year, exam and number. Six rows of ``math-ai/aime25`` carry broken LaTeX;
``data/aime_hub_repairs.json`` holds the edits by the hash of the defective text, never the text itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

from roi_bench.errors import DataError, DependencyError
from roi_bench.pools import DATA_DIR_VARIABLE, Row
from roi_bench.problems import canonical_text, sha256_text

LoadDataset = Callable[[str, "str | None", str], Sequence[Mapping[str, Any]]]
"""(repository, config or None, split) → rows; :func:`load_from_hub` or a fake in tests."""

REPOSITORIES = {
    ("gsm8k", "evaluation"): ("openai/gsm8k", "test"),
    ("gsm8k", "training"): ("openai/gsm8k", "train"),
    ("math", "evaluation"): ("EleutherAI/hendrycks_math", "test"),
    ("math", "training"): ("EleutherAI/hendrycks_math", "train"),
    ("aime", "evaluation"): ("math-ai/aime25", "test"),
    ("aime", "training"): ("AI-MO/aimo-validation-aime", "train"),
}
"""Hub repository and hub split of each pool and split."""

ALSO_ACCEPTED = {"aime/2022/II/8": ("81",)}
"""Second official answers, which the hub does not carry."""

_AIME_SITTINGS = {
    "evaluation": [(2025, exam, number) for exam in ("I", "II") for number in range(1, 16)],
    "training": [
        (year, exam, number)
        for year in (2022, 2023, 2024)
        for exam in ("I", "II")
        for number in sorted(range(1, 16), key=str)
    ],
}
"""(year, exam, number) of each hub row; the 2022–2024 dataset is sorted by name, so Problem 10 follows Problem 1."""


def hub_rows(pool: str, split: str, load: LoadDataset | None = None) -> Iterator[Row]:
    """Yield the rows of a pool from the hub in folder form.

    Args:
        pool, split: a key of :data:`REPOSITORIES`.
        load: loads one dataset split; by default :func:`load_from_hub`.

    Raises:
        DataError: the hub cannot be read, or a dataset is not what it was.
        DependencyError: the package ``datasets`` is missing.
    """
    readers = {"gsm8k": _gsm8k_rows, "math": _math_rows, "aime": _aime_rows}
    return readers[pool](split, load or load_from_hub)


def load_from_hub(repository: str, config: str | None, split: str) -> Sequence[Mapping[str, Any]]:
    """Load one split with ``datasets`` (from its cache when ``HF_HUB_OFFLINE=1``)."""
    try:
        from datasets import load_dataset  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise DependencyError(f"reading the hub needs the package 'datasets' ({error}); pip install datasets") from None
    try:
        rows: Sequence[Mapping[str, Any]] = load_dataset(repository, config, split=split)
    except Exception as error:  # whatever happens in there, the pool could not be had from the hub
        reason = " ".join(str(error).split())
        raise DataError(
            f"cannot read {repository} from the Hugging Face hub ({type(error).__name__}: {reason:.200}); "
            f"check the network, unset HF_HUB_OFFLINE, or name a folder with the data in {DATA_DIR_VARIABLE}"
        ) from error
    return rows


def _gsm8k_rows(split: str, load: LoadDataset) -> Iterator[Row]:
    repository, hub_split = REPOSITORIES["gsm8k", split]
    for index, row in enumerate(load(repository, "main", hub_split)):
        where = f"{repository} {hub_split} row {index}"
        solution = _field(row, "answer", where)
        _, mark, answer = solution.rpartition("####")
        if not mark:
            raise DataError(f"{where}: no '####' before the final answer; the hub dataset has changed")
        yield (
            where,
            {
                "id": f"gsm8k/{hub_split}/{index}",
                "question": _field(row, "question", where),
                "answer": answer.strip().replace(",", ""),
                "solution": solution,
            },
        )


def _math_rows(split: str, load: LoadDataset) -> Iterator[Row]:
    repository, hub_split = REPOSITORIES["math", split]
    for config, numbers in _math_numbers()[hub_split].items():
        rows = load(repository, config, hub_split)
        _check_count(rows, len(numbers), f"{repository} {config} {hub_split}")
        for index, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            where = f"{repository} {config} {hub_split} row {index}"
            solution = _field(row, "solution", where)
            level = _field(row, "level", where).removeprefix("Level ")
            yield (
                where,
                {
                    "id": f"math/{hub_split}/{config}/{number}",
                    "question": _field(row, "problem", where),
                    "answer": last_box(solution),
                    "solution": solution,
                    "level": int(level) if level in set("12345") else None,  # two training rows say "Level ?"
                },
            )


def _aime_rows(split: str, load: LoadDataset) -> Iterator[Row]:
    repository, hub_split = REPOSITORIES["aime", split]
    rows = load(repository, None, hub_split)
    sittings = _AIME_SITTINGS[split]
    _check_count(rows, len(sittings), f"{repository} {hub_split}")
    for index, (row, (year, exam, number)) in enumerate(zip(rows, sittings, strict=True)):
        where = f"{repository} {hub_split} row {index}"
        identifier = f"aime/{year}/{exam}/{number}"
        answer = str(row.get("answer", "")).strip()
        if not (answer.isascii() and answer.isdigit()):
            raise DataError(
                f"{where}: the answer {answer!r:.40} is no integer from 0 to 999; the hub dataset has changed"
            )
        yield (
            where,
            {
                "id": identifier,
                "question": repair(_field(row, "problem", where)),
                "answer": str(int(answer)),
                "also_accepted": ALSO_ACCEPTED.get(identifier, ()),
            },
        )


def repair(text: str) -> str:
    """Return the canonical form of a hub question, repaired if its hash is one of the defective ones.

    Raises:
        DataError: the repaired text has not the recorded hash.
    """
    text = canonical_text(text)
    entry = _repairs().get(sha256_text(text))
    if entry is None:
        return text
    for offset, deleted, inserted in reversed(entry["edits"]):  # from the end, so that offsets keep their meaning
        text = text[:offset] + inserted + text[offset + deleted :]
    if sha256_text(text) != entry["repaired_sha256"]:
        raise DataError(f"the repair of {entry['id']} does not give the recorded text; reinstall roi-bench")
    return text


def last_box(solution: str) -> str:
    r"""Return the content of the last ``\boxed`` of a reference solution, empty if there is none.

    ``\boxed{…}`` with balanced braces, or the one character of ``\boxed 2``.
    """
    _, mark, rest = solution.rpartition("\\boxed")
    rest = rest.lstrip()
    if not mark or not rest:
        return ""
    if rest[0] != "{":
        return rest[0]
    depth = 0
    for index, character in enumerate(rest):
        escaped = index > 0 and rest[index - 1] == "\\" and (index < 2 or rest[index - 2] != "\\")
        if character in "{}" and not escaped:
            depth += 1 if character == "{" else -1
            if depth == 0:
                return rest[1:index].strip()
    return ""


def _field(row: Mapping[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise DataError(f"{where}: field {name!r} must be a string, is {value!r:.80}; the hub dataset has changed")
    return value


def _check_count(rows: Sequence[Mapping[str, Any]], expected: int, where: str) -> None:
    if len(rows) != expected:
        raise DataError(
            f"{where} has {len(rows)} rows on the hub, {expected} were expected: the dataset has changed; "
            f"name a folder with the data in {DATA_DIR_VARIABLE}"
        )


def _data(name: str) -> Any:
    return json.loads((resources.files("roi_bench") / "data" / name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _repairs() -> dict[str, dict[str, Any]]:
    repairs: dict[str, dict[str, Any]] = _data("aime_hub_repairs.json")
    return repairs


@lru_cache(maxsize=1)
def _math_numbers() -> dict[str, dict[str, list[int]]]:
    """File numbers of the MATH problems by hub split and config, in the order of the hub rows (sorted as text)."""
    return {
        split: {config: sorted(_expand(ranges), key=str) for config, ranges in configs.items()}
        for split, configs in _data("math_numbers.json").items()
    }


def _expand(ranges: str) -> Iterator[int]:
    for item in ranges.split(","):
        first, _, last = item.partition("-")
        yield from range(int(first), int(last or first) + 1)
