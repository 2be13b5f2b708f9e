"""roi-bench: does a model know what its own thinking is worth?

The public Python API; ``docs/python.md`` shows it at work. Importing the package costs next to nothing: a name is
imported from its module when it is first used.
"""

TYPE_CHECKING = False  # type checkers know better; importing typing would cost what the rest of this module does not
if TYPE_CHECKING:
    from roi_bench.analysis.efficiency import value_curves as value_curves
    from roi_bench.errors import RoiBenchError as RoiBenchError
    from roi_bench.exams.exam import Exam as Exam
    from roi_bench.exams.exam import Problem as Problem
    from roi_bench.exams.sets import find_exam as find_exam
    from roi_bench.exams.sets import load_exams as load_exams
    from roi_bench.exams.sets import training_exams as training_exams
    from roi_bench.python_api import compare as compare
    from roi_bench.python_api import exam_prompt as exam_prompt
    from roi_bench.python_api import grade as grade
    from roi_bench.python_api import load_runs as load_runs
    from roi_bench.python_api import report as report
    from roi_bench.python_api import score as score
    from roi_bench.python_api import solo_profile as solo_profile
    from roi_bench.reading.responses import read_response as read_response
    from roi_bench.scoring.outcomes import OUTCOMES as OUTCOMES
    from roi_bench.scoring.tokens import Usage as Usage

__version__ = "0.1.0"

_HOMES = {
    **dict.fromkeys(("find_exam", "load_exams", "training_exams"), "exams.sets"),
    **dict.fromkeys(("compare", "exam_prompt", "grade", "load_runs", "report", "score", "solo_profile"), "python_api"),
    "Exam": "exams.exam",
    "OUTCOMES": "scoring.outcomes",
    "Problem": "exams.exam",
    "RoiBenchError": "errors",
    "Usage": "scoring.tokens",
    "read_response": "reading.responses",
    "value_curves": "analysis.efficiency",
}

__all__ = [
    "OUTCOMES",
    "Exam",
    "Problem",
    "RoiBenchError",
    "Usage",
    "__version__",
    "compare",
    "exam_prompt",
    "find_exam",
    "grade",
    "load_exams",
    "load_runs",
    "read_response",
    "report",
    "score",
    "solo_profile",
    "training_exams",
    "value_curves",
]


if not TYPE_CHECKING:  # they would take it for one that has every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'roi_bench' has no attribute {name!r}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(f"roi_bench.{_HOMES[name]}"), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
