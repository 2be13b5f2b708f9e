"""The cache gives back exactly what was stored, and nothing that is damaged, of other content or of other code."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.analysis.reports.tables import Interval
from roi_bench.analysis.runs import Cell
from roi_bench.errors import UsageError
from roi_bench.leaderboard.board import cache as graded_cache
from roi_bench.leaderboard.board.cache import grading_code, load_graded, modules_of, store_graded
from roi_bench.leaderboard.board.graded import (
    GradedRun,
    GradedSubmission,
    PromptSpread,
    Remark,
    TokenBox,
    graded_of,
    graded_text,
)
from roi_bench.leaderboard.submission.schema import Metadata, Submission, SubmittedTask

CONTENT = "ab" * 32
PACKAGE = graded_cache.PACKAGE

texts = st.text(st.characters(codec=None), max_size=8)  # half characters too
finite = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | finite
counts = st.integers(0, 10**6)
numbers = st.builds(Interval, maybe, maybe, maybe)


def named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(texts, values, max_size=3)


def row(values: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=most).map(tuple)


spreads = st.none() | st.builds(PromptSpread, counts, counts, finite, finite, finite, finite, numbers)
boxes = st.builds(
    TokenBox, texts, counts, texts, counts, maybe, st.none() | st.tuples(finite, finite, finite, finite, finite)
)
tasks = st.builds(
    SubmittedTask,
    exam_seed=st.none() | counts,
    order=st.none() | texts,
    tokenizer=st.none() | texts,
    tokenizer_revision=st.none() | texts,
    decoding=named(st.none() | texts | counts | finite | st.booleans()),
    deviations=row(texts),
    skip_token_lengths=st.none() | row(counts),
)
submissions = st.builds(
    Submission,
    metadata=st.builds(Metadata, open_weights=st.none() | st.booleans(), parameters=st.none() | counts, notes=texts),
    software=named(texts),
    tasks=row(tasks, 2),
    usd=maybe,
    replaces=st.none() | texts,
    draft=st.booleans(),
    claimed=named(named(maybe)),
)
runs = st.builds(
    GradedRun,
    cell=st.builds(Cell, exam_seed=st.none() | counts),
    deviations=row(texts),
    numbers=named(numbers),
    score_fixed=numbers,
    regret_fixed=numbers,
    exam_ids=row(texts),
    exam_clusters=row(texts),
    scores=row(finite),
    scores_easy=row(finite),
    sampling_stderr=maybe,
    outcomes_by_tier=named(named(finite)),
    skip_rate_by_tier=named(numbers),
    accuracy_by_position=named(row(numbers)),
    token_boxes=row(boxes),
    level_counts=row(row(counts)),
    usd_per_exam=maybe,
    usd=maybe,
    allocation=named(numbers),
    score_prompts=spreads,
    regret_prompts=spreads,
)
graded_submissions = st.builds(
    GradedSubmission,
    submission=submissions,
    content=texts,
    bytes=counts,
    runs=row(runs, 2),
    profiles=row(texts),
    remarks=row(st.builds(Remark, texts, texts)),
    recounted=st.booleans(),
)


def bits(value: Any) -> str:
    """Everything that can differ: types, the sign of zero, the last bit of a float, the order of mappings."""
    return repr(value)


@settings(max_examples=60, deadline=None)
@given(graded_submissions)
def test_what_was_stored_comes_back_to_the_last_bit(graded: GradedSubmission) -> None:
    text = graded_text(graded)
    assert text.isascii()
    assert "\n" not in text
    found = graded_of(json.loads(text))
    assert found == graded
    assert bits(found) == bits(graded)


@given(st.lists(finite, max_size=20))
def test_floats_come_back_to_the_last_bit(scores: list[float]) -> None:
    graded = with_scores(tuple(scores))
    (run,) = graded_of(json.loads(graded_text(graded))).runs
    assert [value.hex() for value in run.scores] == [value.hex() for value in scores]


def with_scores(scores: tuple[float, ...] = (1.0, 1 / 3, 0.1 + 0.2)) -> GradedSubmission:
    number = Interval(1 / 3, None, 0.5)
    run = GradedRun(
        task="roi_exam_hard_512",
        cell=Cell("v1", None, "hard", 512),
        prompt="direct",
        form="exam",
        repeats=1,
        decoding="",
        deviations=("label",),
        exams=3,
        clusters=2,
        numbers={"score": number, "regret": Interval(None)},
        score_fixed=number,
        regret_fixed=number,
        exam_ids=("v1/000", "v1/001", "v1/002"),
        exam_clusters=("a", "b", "a"),
        scores=scores,
        scores_easy=scores,
        sampling_stderr=None,
        outcomes_by_tier={"easy": {"correct": 1.0}},
        skip_rate_by_tier={"easy": number},
        accuracy_by_position={"hard": (number, number)},
        token_boxes=(
            TokenBox("hard", 1, "hard", 2, 10.5, (1.0, 2.0, 3.0, 4.0, 5.0)),
            TokenBox("easy", 1, "easy", 0, None, None),
        ),
        level_counts=((1, 0, 0, 0, 2),),
        usd_per_exam=None,
        usd=None,
        tokens_source="generated",
        allocation={"v_dp": number, "ae": number},
        responses_sha256="ef" * 32,
        fingerprints="ef" * 32,
        tokens_checked="counted",
    )
    metadata = Metadata("a model", "2026-11-24", "none", "nobody")
    submission = Submission("a-model-0123456789ab", metadata, {"lm_eval": "0.4.13"}, ())
    return GradedSubmission(submission, CONTENT, 10, (run,), ("solo",), (Remark("tokens", "told"),), True)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    store_graded(tmp_path / "cache", with_scores())
    return tmp_path / "cache"


def entry(cache: Path) -> Path:
    (path,) = (cache / "graded").iterdir()
    return path


def test_a_stored_submission_is_found_by_its_content(cache: Path) -> None:
    assert bits(load_graded(cache, CONTENT)) == bits(with_scores())
    assert load_graded(cache, "cd" * 32) is None
    assert load_graded(cache / "elsewhere", CONTENT) is None


def test_the_same_submission_gives_the_same_bytes(cache: Path) -> None:
    before = entry(cache).read_bytes()
    store_graded(cache, with_scores())
    assert entry(cache).read_bytes() == before


def damages(whole: bytes) -> Iterator[bytes]:
    digest, line = whole.split(b"\n")
    yield from (b"", b"\n", digest, digest + b"\n", whole[:-1], whole[:200], whole + b"\n", whole + b" ")
    for place in (3, len(digest) + 5, len(whole) // 2, len(whole) - 3):
        yield whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    yield b"\xff" * 64 + b"\n" + line
    deep = b'{"graded": ' + b"[" * 100_000
    for other in (b"{}", b"[]", b'{"graded": []}', b'{"graded": 3}', b"no JSON", deep, b"\xff"):
        yield hashlib.sha256(other).hexdigest().encode() + b"\n" + other
    shorter = json.loads(line)
    shorter["graded"][3][0].pop()
    other = json.dumps(shorter).encode()
    yield hashlib.sha256(other).hexdigest().encode() + b"\n" + other


def test_a_damaged_entry_counts_as_missing_and_is_replaced(cache: Path) -> None:
    path = entry(cache)
    whole = path.read_bytes()
    for damaged in damages(whole):
        path.write_bytes(damaged)
        assert load_graded(cache, CONTENT) is None, damaged[:80]
        store_graded(cache, with_scores())
        assert path.read_bytes() == whole
    path.unlink()
    path.mkdir()
    assert load_graded(cache, CONTENT) is None


def test_an_entry_of_another_content_is_not_believed(cache: Path) -> None:
    store_graded(cache, replace(with_scores(), content="cd" * 32))
    (other,) = (path for path in (cache / "graded").iterdir() if b'"' + b"cd" * 32 in path.read_bytes())
    mine = next(path for path in (cache / "graded").iterdir() if path != other)
    mine.write_bytes(other.read_bytes())
    assert load_graded(cache, CONTENT) is None
    assert load_graded(cache, "cd" * 32) is not None


def test_other_code_grades_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graded_cache, "grading_code", lambda: "another")
    assert load_graded(cache, CONTENT) is None
    store_graded(cache, with_scores())
    assert load_graded(cache, CONTENT) is not None


@pytest.mark.parametrize(
    "altered",
    [
        *("scoring/statistics.py", "grading/grader.py", "grading/comparison.py", "grading/symbolic_worker.py"),
        *("reading/walk.py", "data/exams_v1.json", "analysis/efficiency.py", "analysis/load.py"),
        *("leaderboard/board/grade.py", "leaderboard/board/graded.py", "leaderboard/checks/rules.py"),
    ],
)
def test_the_code_is_all_that_grades(altered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy has the same code until a byte of any of these files is another."""
    try:
        before = code_of(PACKAGE, monkeypatch)
        assert code_of(copy_of(PACKAGE, tmp_path), monkeypatch) == before
        with (tmp_path / altered).open("ab") as file:
            file.write(b" ")
        assert code_of(tmp_path, monkeypatch) != before
    finally:
        grading_code.cache_clear()


def code_of(package: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patched:
        patched.setattr(graded_cache, "PACKAGE", package)
        grading_code.cache_clear()
        return grading_code()


def copy_of(package: Path, target: Path) -> Path:
    def left_out(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name in ("submissions", "tiny_model", "__pycache__") or "tiny_" in name]

    shutil.copytree(package, target, ignore=left_out, dirs_exist_ok=True)
    return target


def test_a_module_counts_wherever_it_lies_and_a_page_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What grades may move into a folder of its own; what only shows grades makes none anew."""
    try:
        package = copy_of(PACKAGE, tmp_path)
        before = code_of(package, monkeypatch)
        with (package / "leaderboard" / "site" / "model_page.py").open("a") as file:
            file.write("# another word on a page\n")
        assert code_of(package, monkeypatch) == before

        (package / "scoring_room").mkdir()
        (package / "scoring_room" / "__init__.py").write_text("")
        (package / "scoring" / "statistics.py").rename(package / "scoring_room" / "statistics.py")
        for module in package.rglob("*.py"):
            text = module.read_text("utf-8")
            if "from roi_bench.scoring.statistics import" in text:
                module.write_text(
                    text.replace("roi_bench.scoring.statistics import", "roi_bench.scoring_room.statistics import")
                )
        moved = code_of(package, monkeypatch)
        assert moved != before
        with (package / "scoring_room" / "statistics.py").open("a") as file:
            file.write("# another estimate\n")
        assert code_of(package, monkeypatch) != moved
    finally:
        grading_code.cache_clear()


def test_the_modules_are_those_that_grading_loads() -> None:
    """What a fresh interpreter has loaded after grading's modules are all among them."""
    roots = [f"roi_bench.{name}" for name in graded_cache.ROOTS]
    code = f"import sys, {', '.join(roots)}; print(*(name for name in sys.modules if name.startswith('roi_bench')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= modules_of(PACKAGE, roots) | {"roi_bench"}


SHOWS_OR_ASKS = ("leaderboard.site", "leaderboard.exporters", "cli", "harness", "api", "analysis.reports.figure")
"""Beginnings of names of modules that show what was graded, or that ask models."""


def test_nothing_that_shows_or_asks_is_among_the_modules_of_grading() -> None:
    """Another page, command or engine grades no submission anew."""
    found = modules_of(PACKAGE, [f"roi_bench.{name}" for name in graded_cache.ROOTS])
    assert "roi_bench.scoring.task_settings" in found
    assert [name for name in sorted(found) if name.removeprefix("roi_bench.").startswith(SHOWS_OR_ASKS)] == []


def test_another_math_verify_grades_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_of(PACKAGE, monkeypatch)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(graded_cache, "version", lambda name: "9.9" if name == "math-verify" else "1")
            assert code_of(PACKAGE, monkeypatch) != before
    finally:
        grading_code.cache_clear()


def test_a_package_that_is_not_installed_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts rest on what reads LaTeX too, recounts on tokenizers; math-verify alone needs not be there."""

    def missing(name: str) -> str:
        if name == "transformers":
            raise PackageNotFoundError(name)
        return "9.9" if name == changed else "1"

    try:
        found = {}
        for changed in ("nothing", "latex2sympy2_extended", "tokenizers", "jsonschema"):
            with monkeypatch.context() as patched:
                patched.setattr(graded_cache, "version", missing)
                found[changed] = code_of(PACKAGE, monkeypatch)
        assert len(set(found.values())) == len(found)
    finally:
        grading_code.cache_clear()


def test_what_was_counted_again_is_kept_apart(cache: Path) -> None:
    """A build without recounting must not show what one with it found, nor the other way round."""
    assert load_graded(cache, CONTENT, recount=True) is None
    store_graded(cache, replace(with_scores(), recounted=False), recount=True)
    counted, plain = load_graded(cache, CONTENT, recount=True), load_graded(cache, CONTENT)
    assert counted is not None
    assert plain is not None
    assert (counted.recounted, plain.recounted) == (False, True)


def test_a_number_that_is_none_is_never_stored(tmp_path: Path) -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            store_graded(tmp_path, with_scores((value,)))
    assert list(tmp_path.iterdir()) == []


def test_nobody_sees_half_an_entry(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entry(cache).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(UsageError, match="No space left on device"):
            store_graded(cache, replace(with_scores(), bytes=11))
    assert entry(cache).read_bytes() == before


def test_a_cache_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("", encoding="ascii")
    with pytest.raises(UsageError, match=r"--cache .*cache"):
        store_graded(tmp_path / "cache", with_scores())
    assert load_graded(tmp_path / "cache", CONTENT) is None
