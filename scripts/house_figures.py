"""Measure the house: modules, those that one sibling alone imports, files entered from a response to its number.

python scripts/house_figures.py

docs/measurements.md has the limits; tests/test_architecture.py enforces them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
FRONT_DOOR = "roi_bench.python_api"

SCORED = """
import json, sys
from pathlib import Path
import roi_bench
from roi_bench import Usage, load_exams, score
from roi_bench.exams.tiny import model_path
from roi_bench.grading.grader import shared_grader
from roi_bench.python_api import _counter

exam = load_exams("tiny")[0]
first, second, _ = exam.ordered("hard")
text = f"Problem 1\\n3 + 4 = 7\\n\\\\boxed{{{ANSWER}}}\\nProblem 2\\n\\\\boxed{{17}}\\nProblem 3\\n\\\\boxed{{NA}}\\n"
counter = _counter(str(model_path()))
shared_grader()  # started once a process: no part of the way
root, entered = Path(roi_bench.__file__).parent, {}

def note(frame, event, argument):
    path = Path(frame.f_code.co_filename)
    if event == "call" and frame.f_code.co_name != "<module>" and path.is_relative_to(root):
        entered[path.relative_to(root).as_posix()] = None

sys.setprofile(note)
scored = score(exam, text, order="hard", budget=128, tokenizer=counter, usage=Usage(60, "stop", "generated"))
sys.setprofile(None)
entered.pop("__init__.py", None)
print(json.dumps({"outcomes": [problem.outcome for problem in scored.problems], "files": list(entered)}))
"""
"""Scores a response in a fresh interpreter, so that no cache hides a file: one problem right, one wrong, one skipped"""


def entered_files(answer: str = "{first.answer}") -> tuple[list[str], list[str]]:
    """Return the outcomes of a scored response, and the files of the package that scoring it enters, in order.

    Args:
        answer: What its first box holds; as it is, the right whole number.
    """
    code = SCORED.replace("{ANSWER}", answer)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    found = json.loads(done.stdout)
    return found["outcomes"], found["files"]


def imports() -> tuple[list[str], list[str]]:
    """Return all modules of the package, and those that one other module of their own room alone imports.

    Packages count for what they hold, and the front door is behind the package by design.
    """
    graph = grimp.build_graph("roi_bench", cache_dir=None)
    files = [path.relative_to(ROOT) for path in (ROOT / "roi_bench").rglob("*.py") if path.stem != "__init__"]
    modules = sorted(".".join(path.with_suffix("").parts) for path in files)
    alone = []
    for name in set(modules) & graph.modules:
        importers = graph.find_modules_that_directly_import(name)
        room = name.rpartition(".")[0]
        if len(importers) == 1 and importers.pop().rpartition(".")[0] == room and name != FRONT_DOOR:
            alone.append(name)
    return modules, alone


def main() -> int:
    """Print the figures."""
    modules, alone = imports()
    outcomes, files = entered_files()
    print(f"modules: {len(modules)}")
    print(f"modules that one sibling alone imports: {len(alone)}")
    print(f"files entered from a response ({', '.join(outcomes)}) to its number: {len(files)}")
    for name in files:
        print(f"  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
