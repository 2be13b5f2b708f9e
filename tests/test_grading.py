"""Verdicts on answers: golden cases, properties, limits and robustness of the worker pool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.answers import normalize_answer
from roi_bench.comparison import compare
from roi_bench.evaluation import surely_different
from roi_bench.grading import Grader, Verdict
from roi_bench.numerals import read_quantity
from roi_bench.responses import read_response
from roi_bench.symbolic_pool import SymbolicPool

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "grading.jsonl").read_text().splitlines()]
CHECKS = [(case["pool"], case["answer"], tuple(case["accepted"])) for case in CASES]

HOSTILE = (
    "10^{10^{10}}",
    "(" * 3000 + "1" + ")" * 3000,
    "(" * 900 + "1" + ")" * 900,
    "10000000!",
    "9" * 1_000_000,
    "\\frac" * 5000,
    "\\frac" * 300,
    r"\binom{10^9}{5 \cdot 10^8}",
    "\ud800\udfff",
    "\x00",
    "{" * 900,
    "\\begin{pmatrix}" * 100,
    "," * 1500,
    "5 " + "per " * 490 + "x?",
    "5 " + "hundred " * 240 + "?",
    "12_{" * 490,
    "5" + "\\text{and}" * 190,
    "5" + "\\text{million}" * 130,
)
LATEX = st.lists(
    st.sampled_from(
        [
            "1",
            "23",
            "x",
            "+",
            "-",
            ",",
            "(",
            ")",
            "[",
            "{",
            "}",
            "\\frac",
            "\\sqrt",
            "^",
            "_",
            " ",
            "\\text{",
            "\\pm",
            "%",
            "\\cup",
            "\\",
            "=",
            "<",
            ".",
            "\\infty",
            "\\begin{pmatrix}",
            "&",
            "\\\\",
            " and ",
            "\u2212",
            "\\left",
            "/",
        ]
    ),
    max_size=25,
).map("".join)


BASE_NAMES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
BASE_SPELLINGS = (
    r"N_{\text{B}}",
    "N_{B}",
    r"N_\text{B}",
    r"N_{\text{base }B}",
    r"N\text{ (base B)}",
    "(N)_{B}",
    "N base B",
)


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


@pytest.fixture(scope="module")
def golden_verdicts(grader: Grader) -> list[Verdict]:
    return grader.grade_many(CHECKS)


@pytest.mark.parametrize(
    "index", range(len(CASES)), ids=lambda index: ascii(f"{CASES[index]['accepted'][0]}|{CASES[index]['answer']}")
)
def test_golden_case(index: int, golden_verdicts: list[Verdict]) -> None:
    case, verdict = CASES[index], golden_verdicts[index]
    assert verdict.correct == case["correct"]
    assert verdict.method == case.get("method", verdict.method)


def test_more_workers_give_the_same_verdicts(golden_verdicts: list[Verdict]) -> None:
    with Grader(workers=3) as several:
        assert several.grade_many(list(reversed(CHECKS))) == list(reversed(golden_verdicts))


def test_identical_checks_start_no_second_one(grader: Grader) -> None:
    first = grader.grade("math", "x(x+1)", ("x^2+x",))
    assert first == Verdict(True, "symbolic")
    pids = grader.worker_pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert grader.grade_many([("math", "x(x+1)", ("x^2+x",))] * 50) == [first] * 50
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@settings(deadline=None)
@given(LATEX | st.text(max_size=60))
def test_the_pure_steps_never_raise_and_ignore_outer_space(text: str) -> None:
    assert normalize_answer(f" {text}\r\n ") == normalize_answer(text)
    assert read_quantity(f"\n{text} ") == read_quantity(text)
    if normalize_answer(text):
        assert compare(text, f" {text}\r\n") is True


@settings(deadline=None)
@given(LATEX, LATEX)
def test_comparing_never_raises_and_normal_forms_suffice(gold: str, answer: str) -> None:
    assert compare(gold, answer) in (True, False, None)


@given(st.integers(-(10**12), 10**12))
def test_integers_in_all_spellings(value: int) -> None:
    for spelling in (
        f"{value:,}",
        f"${value}$",
        f"{value}.00",
        f"\\text{{{value} units}}",
        f"x={value}",
        str(value).replace("-", "\u2212"),
    ):
        assert compare(str(value), spelling) is True
    assert compare(str(value), str(value + 1)) is False


@given(
    st.text("01", min_size=1, max_size=8),
    st.sampled_from(BASE_NAMES),
    st.sampled_from(BASE_NAMES),
    st.sampled_from(BASE_SPELLINGS),
)
def test_a_numeral_equals_itself_in_its_base_only(digits: str, base: str, other: str, spelling: str) -> None:
    gold = f"{digits}_{BASE_NAMES.index(base) + 2}"
    assert compare(gold, spelling.replace("N", digits).replace("B", other)) is (base == other)


@given(st.integers(1, 999), st.sampled_from(["hundred", "thousand", "million", "billion", "dozen"]))
def test_scale_words_multiply_in_every_pool_and_spelling(value: int, scale: str) -> None:
    factor = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "dozen": 12}[scale]
    for spelling in (f"{value} {scale}", rf"{value}\text{{ {scale}}}", rf"\${value} \text{{ {scale} dollars}}"):
        assert compare(str(value * factor), spelling) is True
        assert compare(str(value), spelling) is False
        quantity = read_quantity(spelling)
        assert quantity is not None
        assert quantity.value == value * factor


@pytest.mark.parametrize("pool", ["gsm8k", "math"])
def test_hostile_answers_are_wrong_and_the_grader_goes_on(pool: str) -> None:
    with Grader(workers=2, seconds=0.5, memory_mb=1024) as small:
        verdicts = small.grade_many([(pool, answer, ("1",)) for answer in HOSTILE])
        assert [verdict.correct for verdict in verdicts] == [False] * len(HOSTILE)
        if pool == "math":
            assert {verdict.method for verdict in verdicts} >= {"limit"}
        assert small.grade("math", "y(y+2)", ("y^2+2y",)) == Verdict(True, "symbolic")


def test_memory_limit_counts_as_limit() -> None:
    """With no memory beyond what the worker already holds, a large check ends in the limit and not in an error."""
    with SymbolicPool(1, 20.0, 1) as pool:
        assert pool.check("x_{1}", "\\sqrt{" * 150 + "x" + "}" * 150) == "limit"


def test_memory_limit_is_set() -> None:
    code = (
        "import sys\nfrom roi_bench.symbolic_worker import limit_memory\nlimit_memory(300)\n"
        "try:\n    bytearray(400 << 20)\nexcept MemoryError:\n    sys.exit(0)\nsys.exit(1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_works_off_the_main_thread(grader: Grader) -> None:
    found: list[Verdict] = []
    thread = threading.Thread(target=lambda: found.append(grader.grade("math", "z+z+z", ("3z",))))
    thread.start()
    thread.join()
    assert found == [Verdict(True, "symbolic")]


def test_a_killed_worker_is_replaced_and_its_check_repeated() -> None:
    with SymbolicPool(1, 20.0, 2048) as pool:
        assert pool.check("2y", "y+y") == "equal"
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)  # before the check
        assert pool.check("2x", "x+x") == "equal"
        (second,) = pool.pids
        assert second != pid
        os.kill(second, signal.SIGSTOP)  # hold it, so that it surely dies in the middle of the check
        timer = threading.Timer(0.3, os.kill, (second, signal.SIGKILL))
        timer.start()
        assert pool.check("3x", "x+x+x") == "equal"
        timer.join()


def test_a_worker_that_hangs_without_computing_is_ended() -> None:
    with SymbolicPool(1, 0.2, 2048) as pool:
        assert pool.check("2y", "y+y") == "equal"
        os.kill(pool.pids[0], signal.SIGSTOP)
        assert pool.check("2x", "x+x") == "limit"
        assert pool.check("3x", "x+2x") == "equal"


def test_huge_payload_is_refused_not_written() -> None:
    with SymbolicPool(1, 1.0, 1024) as pool:
        assert pool.check("1", "x" * 5_000_000) == "limit"
        assert pool.pids == ()


def test_workers_end_with_the_grader_and_with_its_process() -> None:
    code = (
        "from roi_bench.grading import Grader\n"
        "grader = Grader(workers=1)\n"
        "print(grader.grade('math', 'x+x', ('2x',)).correct, grader.worker_pids[0], flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    correct, pid = done.stdout.split()
    assert correct == "True"
    with Grader(workers=1) as grader:
        grader.grade("math", "x+x", ("2x",))
        own = grader.worker_pids[0]
    for ended in (int(pid), own):
        for _ in range(100):
            try:
                os.kill(ended, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"worker {ended} still runs")


def test_importing_the_grader_imports_no_computer_algebra() -> None:
    code = "import sys, roi_bench.grading; sys.exit(any(name in sys.modules for name in ('sympy', 'math_verify')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _rows(path: str) -> list[dict[str, str]]:
    root = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ROI_BENCH_DATA_DIR") or root)
    if not (folder / path).exists():
        pytest.skip(f"no real data: {folder / path} does not exist (set ROI_BENCH_DATA_DIR)")
    with (folder / path).open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_all_math_golds_equal_the_last_box_of_their_solutions(grader: Grader) -> None:
    rows = _rows("math/test.jsonl")
    assert len(rows) == 5000
    answers = [read_response(row["solution"], 1).segments[0].answer or "" for row in rows]
    verdicts = grader.grade_many(
        [("math", answer, (row["answer"],)) for answer, row in zip(answers, rows, strict=True)]
    )
    assert [row["id"] for row, verdict in zip(rows, verdicts, strict=True) if not verdict.correct] == []


@pytest.mark.parametrize(
    ("pool", "path", "size"),
    [
        ("gsm8k", "gsm8k/test.jsonl", 1319),
        ("gsm8k", "gsm8k/train.jsonl", 7473),
        ("aime", "aime/aime_2025.jsonl", 30),
        ("aime", "aime/aime_2022_2024.jsonl", 90),
    ],
)
def test_all_numeric_golds_are_numbers_and_equal_themselves(grader: Grader, pool: str, path: str, size: int) -> None:
    rows = _rows(path)
    assert len(rows) == size
    decorated = [(pool, f"\\text{{{row['answer']} things}}", (row["answer"],)) for row in rows]
    verdicts = grader.grade_many(decorated)
    assert [
        row["id"] for row, verdict in zip(rows, verdicts, strict=True) if verdict != Verdict(True, verdict.method)
    ] == []


@given(st.lists(st.integers(1, 99), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_reordered_sums_are_never_refuted(coefficients: list[int], random: Random) -> None:
    terms = [rf"{value}x^{{{power}}}" for power, value in enumerate(coefficients)]
    shuffled = random.sample(terms, len(terms))
    assert not surely_different("+".join(terms), "+".join(shuffled))
    assert surely_different("+".join(terms), "2(" + "+".join(shuffled) + ")")
