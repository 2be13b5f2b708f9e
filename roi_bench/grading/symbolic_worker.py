"""Worker process of the symbolic checks: ``python -m roi_bench.grading.symbolic_worker SECONDS MEMORY_MB``.

Speaks JSON lines: reads ``{"gold": …, "answer": …, "question": …}`` on standard input, writes
``{"equal": true|false|null}`` on standard output; null means that the memory limit was hit (where a library swallows
that error by itself, the answer is just not equal). A check that uses more than SECONDS of processor time ends the
process by the signal SIGPROF. Processor time, unlike wall-clock time, hardly depends on what else the machine is doing,
so neither do the verdicts.
math-verify, its parser (latex2sympy2_extended) and SymPy are imported only here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from roi_bench.grading.comparison import Symbolic, compare

RECURSION_LIMIT = 3000
CLEAR_EVERY = 100
"""Checks between two clearings of SymPy's caches, which would otherwise grow against the memory limit."""

SMALL = 1e-6
"""Below this, numbers are compared by their ratio."""

_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"([0-9]+(?:\.[0-9]*)?)\^\{\\circ\}")
_LOOSE_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")


def math_verify_check() -> Symbolic:
    """Import math-verify and return its check of two answers in normal form.

    Only its comparison is used, on formulas that its parser has read: what it would strip first (units, a last letter
    taken for one) has been stripped by us. All letters are real on both sides, and ``i`` is the imaginary unit on both.
    Its own timeouts are off: they need signals, and the limits of this process do the work. The check is made in the
    direction gold → answer only; the other way round it accepts any right-hand side for an equation.
    """
    import logging

    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig, latex2sympy, normalize_latex
    from math_verify import verify
    from sympy import I

    logging.disable(logging.CRITICAL)
    config = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="none", equations=False
    )

    def parsed(text: str) -> Any:
        if _TRIGONOMETRIC.search(text) is not None:
            text = _DEGREES.sub(r"(\1\\cdot\\frac{\\pi}{180})", text)
        text = normalize_latex(_LOOSE_COMMA.sub("", text.replace("%", "")), config)
        formula = latex2sympy(text, is_real=True, convert_degrees=False, normalization_config=None)
        units = [symbol for symbol in getattr(formula, "free_symbols", ()) if symbol.name in ("i", "imath")]
        return formula.subs(dict.fromkeys(units, I)) if units else formula

    def check(gold: str, answer: str) -> bool:
        try:
            sides = [parsed(text) for text in (gold, answer)]
            equal = verify(*sides, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True)
            return bool(equal) and not differ_relatively(*sides)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - whatever computer algebra stumbles over in an answer, it is not equal
            return False

    return check


def differ_relatively(gold: Any, answer: Any) -> bool:
    r"""Return whether two exact numbers differ though their difference rounds to zero (``1/2004!`` and ``2/2004!``).

    math-verify compares differences to 15 decimal places, however small the numbers.
    """
    from sympy import Expr, Float

    if not all(isinstance(side, Expr) and side.is_number and not side.has(Float) for side in (gold, answer)):
        return False
    small = abs(gold.evalf(15))
    return bool(0 < small < SMALL and abs((answer / gold).evalf(15) - 1) > SMALL)


def limit_memory(megabytes: int) -> None:
    """Limit the address space of this process, where the system can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        # Not available on this system (Windows; some macOS versions refuse RLIMIT_AS): the other limits remain.
        return


def processor_timer() -> Callable[[float], object]:
    """Return a function that ends this process after so many more seconds of processor time; 0 switches it off."""
    import signal

    if not hasattr(signal, "setitimer"):  # Windows: the wall-clock limit of the pool remains
        return lambda _: None
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    return lambda seconds: signal.setitimer(signal.ITIMER_PROF, seconds)


def serve(seconds: float, memory_mb: int, compared: Callable[[str, str, str], bool | None]) -> None:
    """Answer requests under the limits until standard input ends.

    Args:
        seconds: Processor time for one request.
        memory_mb: Address space of this process.
        compared: What finds the reply to a gold answer, an answer and a question.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever a library prints must not end up among the replies
    limit_memory(memory_mb)
    sys.setrecursionlimit(RECURSION_LIMIT)
    start_timer = processor_timer()
    replies.write('{"ready": true}\n')
    replies.flush()
    for line in sys.stdin:
        request = json.loads(line)
        start_timer(seconds)
        try:
            equal = compared(request["gold"], request["answer"], request["question"])
        except MemoryError:
            equal = None
        except RecursionError:
            equal = False  # nested too deeply to be parsed: not an answer
        start_timer(0.0)
        replies.write(json.dumps({"equal": equal}) + "\n")
        replies.flush()
        if equal is None:
            return  # after a MemoryError nothing in this process can be trusted


def main(seconds: float, memory_mb: int) -> None:
    """Answer requests by :func:`roi_bench.grading.comparison.compare` with math-verify at hand."""
    check = math_verify_check()
    check(r"\frac{1}{2}x", "0.5x")  # the first check builds parser tables; no request should pay for that
    from sympy.core.cache import clear_cache

    checked = 0

    def compared(gold: str, answer: str, question: str) -> bool | None:
        nonlocal checked
        checked += 1
        if checked % CLEAR_EVERY == 0:
            clear_cache()
        return bool(compare(gold, answer, check, question))

    serve(seconds, memory_mb, compared)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
