"""Pools: the problems of one tier, read from a folder of JSONL files or from the Hugging Face hub (SPEC section 2).

Both routes give the same ids, canonical questions and answers. The folder is named by ``ROI_BENCH_DATA_DIR``::

    gsm8k/test.jsonl   math/test.jsonl   aime/aime_2025.jsonl
    gsm8k/train.jsonl  math/train.jsonl  aime/aime_2022_2024.jsonl

with one JSON object a line: ``id, question, answer`` and optionally ``solution, level, also_accepted``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from roi_bench.errors import DataError, DependencyError, UsageError, first_line, nearest
from roi_bench.exams.exam import Problem, canonical_text, sha256_text

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

_AIME_CONTESTS = {
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
        DataError: The hub cannot be read, or a dataset has changed.
        DependencyError: the package ``datasets`` is missing, or does not fit what it needs.
    """
    readers = {"gsm8k": _gsm8k_rows, "math": _math_rows, "aime": _aime_rows}
    return readers[pool](split, load or load_from_hub)


def load_from_hub(repository: str, config: str | None, split: str) -> Sequence[Mapping[str, Any]]:
    """Load one split with ``datasets`` (from its cache when ``HF_HUB_OFFLINE=1``).

    Raises:
        DataError: The hub cannot be read.
        DependencyError: ``datasets`` is missing, or does not fit what it needs.
    """
    try:
        from datasets import load_dataset  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        if find_spec("datasets") is None:
            raise DependencyError("reading the hub needs the package datasets; pip install datasets") from None
        reason = f"the package datasets is installed but cannot be imported ({first_line(error)})"
        raise DependencyError(f"{reason}; roi-bench doctor names the versions that do not fit") from None
    try:
        rows: Sequence[Mapping[str, Any]] = load_dataset(repository, config, split=split)
    except Exception as error:  # whatever went wrong in there, the pool cannot be read from the hub
        reason = " ".join(str(error).split())
        offline = ", unset HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise DataError(
            f"cannot read {repository} from the Hugging Face hub ({type(error).__name__}: {reason:.200}); "
            f"check the network{offline}, or name a folder with the data in {DATA_DIR_VARIABLE}"
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
    contests = _AIME_CONTESTS[split]
    _check_count(rows, len(contests), f"{repository} {hub_split}")
    for index, (row, (year, exam, number)) in enumerate(zip(rows, contests, strict=True)):
        where = f"{repository} {hub_split} row {index}"
        identifier = f"aime/{year}/{exam}/{number}"
        answer = str(row.get("answer", "")).strip()
        if not (answer.isascii() and answer.isdigit()):
            raise DataError(
                f"{where}: the answer {answer!r:.40} is not an integer from 0 to 999; the hub dataset has changed"
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
        DataError: The repaired text does not have the recorded hash.
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


DATA_DIR_VARIABLE = "ROI_BENCH_DATA_DIR"
"""Environment variable that names the folder; where it is unset, the hub is read."""

HUB = "hub"
"""The ``source`` that means the Hugging Face hub."""

SPLITS = ("evaluation", "training")

POOL_FILES = {
    ("gsm8k", "evaluation"): "gsm8k/test.jsonl",
    ("gsm8k", "training"): "gsm8k/train.jsonl",
    ("math", "evaluation"): "math/test.jsonl",
    ("math", "training"): "math/train.jsonl",
    ("aime", "evaluation"): "aime/aime_2025.jsonl",
    ("aime", "training"): "aime/aime_2022_2024.jsonl",
}
"""Pool file of each pool and split, relative to the data folder."""

UNANSWERED = frozenset({"math/train/number_theory/7115", "math/train/number_theory/7117"})
"""Problems whose reference solution ends in an empty box: without a checkable answer, they are left out."""

Row = tuple[str, Mapping[str, object]]
"""Where a row stands (for messages), and its fields as in a line of a pool file."""


def resolve_source(source: str | Path | None = None) -> str:
    """Return :data:`HUB` or the path of a data folder: ``source`` itself, else ``ROI_BENCH_DATA_DIR``, else the hub."""
    if source is not None:
        return str(source)
    return os.environ.get(DATA_DIR_VARIABLE) or HUB


def load_pool(pool: str, split: str, source: str | Path | None = None) -> dict[str, Problem]:
    """Return the problems of ``pool`` by id, in the order of the source.

    Args:
        pool: ``gsm8k``, ``math`` or ``aime``.
        split: ``evaluation`` or ``training``.
        source: ``hub`` or a data folder; by default ``ROI_BENCH_DATA_DIR``, else the hub.

    Raises:
        UsageError: unknown pool or split.
        DataError: a file or the hub cannot be read, or a row is damaged.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}; {nearest(split, SPLITS)}")
    if (pool, split) not in POOL_FILES:
        raise UsageError(f"unknown pool {pool!r}; {nearest(pool, sorted({name for name, _ in POOL_FILES}))}")
    return dict(_load_cached(pool, split, resolve_source(source)))


@lru_cache(maxsize=24)
def _load_cached(pool: str, split: str, source: str) -> dict[str, Problem]:
    if source == HUB:
        return problems_from_rows(pool, hub_rows(pool, split))
    return problems_from_rows(pool, folder_rows(pool, split, Path(source)))


def problems_from_rows(pool: str, rows: Iterable[Row]) -> dict[str, Problem]:
    """Return the problems of ``rows`` by id, except those known to have no answer.

    Raises:
        DataError: A field is missing or of the wrong type, an id occurs twice, or there are no rows.
    """
    problems: dict[str, Problem] = {}
    for where, row in rows:
        identifier = _text(row, "id", where)
        if identifier in problems:
            raise DataError(f"{where}: duplicate id {identifier!r}; a problem may occur only once in a pool")
        if identifier not in UNANSWERED:
            problems[identifier] = _problem(pool, identifier, row, where)
    if not problems:
        raise DataError(f"the {pool} pool is empty; fetch its file again")
    return problems


def pool_fingerprint(problems: Mapping[str, Problem]) -> str:
    """Return one SHA-256 over the ids, questions and accepted answers of a pool, independent of its order."""
    lines = (json.dumps([key, item.sha256, *item.answers], ensure_ascii=True) for key, item in sorted(problems.items()))
    return sha256_text("\n".join(lines))


def folder_rows(pool: str, split: str, folder: Path) -> Iterator[Row]:
    """Yield the rows of one pool file of ``folder``.

    Raises:
        DataError: The file is missing, unreadable, or holds a line that is not a JSON object.
    """
    path = folder / POOL_FILES[pool, split]
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}:{number}", _json_object(line, f"{path}:{number}")
    except FileNotFoundError:
        raise DataError(
            f"pool file {path} not found: {DATA_DIR_VARIABLE} (or --source) must name a folder with "
            f"{POOL_FILES[pool, split]}; unset it to read the Hugging Face hub"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"pool file {path} is not UTF-8 ({error.reason} at byte {error.start}); fetch it again"
        ) from None
    except OSError as error:
        raise DataError(f"pool file {path} cannot be read: {error.strerror or error}") from None


def _json_object(line: str, where: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not a JSON line ({error}); the file is cut off or altered, fetch it again") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: a JSON object was expected, found {type(value).__name__}; fetch the file again")
    return value


def _problem(pool: str, identifier: str, row: Mapping[str, object], where: str) -> Problem:
    level = row.get("level")
    if level is not None and (not isinstance(level, int) or isinstance(level, bool)):
        raise DataError(f"{where}: field 'level' must be an integer or null, is {level!r:.80}")
    accepted = row.get("also_accepted") or ()
    if not isinstance(accepted, (list, tuple)) or not all(isinstance(item, str) for item in accepted):
        raise DataError(f"{where}: field 'also_accepted' must be a list of strings, is {accepted!r:.80}")
    solution = row.get("solution")
    return Problem(
        id=identifier,
        pool=pool,
        question=canonical_text(_text(row, "question", where)),
        answer=_text(row, "answer", where).strip(),
        also_accepted=tuple(accepted),
        level=level,
        solution=_text(row, "solution", where) if solution is not None else None,
    )


def _text(row: Mapping[str, object], field: str, where: str) -> str:
    if field not in row:
        raise DataError(f"{where}: field {field!r} is missing; a row needs id, question and answer")
    value = row[field]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: field {field!r} must be a non-empty string, is {value!r:.80}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: field {field!r} contains half a surrogate pair; fetch the file again") from None
    return value
