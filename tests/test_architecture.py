"""The import rules of ``docs/architecture.md``, sizes, and what no tracked file may hold."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import house_figures, module_map

ROOT = Path(__file__).resolve().parents[1]
OUTER = ("analysis", "api", "cli", "harness", "training", "leaderboard", "tiny_family")
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 570, 60

THIRD_PARTY_OF_CORE = {
    "exams.fresh": {"reasoning_gym"},
    "exams.pools": {"datasets"},
    "scoring.statistics": {"scipy"},
    "grading.symbolic_worker": {"latex2sympy2_extended", "math_verify", "sympy"},
    "records.tokenizer": {"tokenizers", "transformers"},
}
"""Which modules of the core may use which third-party packages; none of them may use anything else."""

EDGE = {
    "exams.fresh": "reads its frozen manifest in the package",
    "exams.manifest": "reads the frozen manifest in the package",
    "exams.pools": "reads the pools of a data folder or of the hub",
    "exams.sets": "takes the path of a data folder",
    "exams.tiny": "knows where the shipped model is",
    "grading.grader": "starts and kills processes",
    "grading.symbolic_worker": "is such a process",
    "machine": "counts cores, finds shipped data and replaces files",
    "records.journal": "locks a file and appends to it",
    "records.results": "reads results and samples",
    "records.tokenizer": "loads tokenizers and reads their folders",
    "records.unfinished": "reads the journals of a folder",
}
"""The modules of the core that touch the world outside, each with its reason. All others compute, and nothing else."""

OUTSIDE = {
    *("asyncio", "concurrent", "fcntl", "importlib", "io", "logging", "multiprocessing", "os", "pathlib", "selectors"),
    *("shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib"),
}
"""Modules of the standard library through which code touches the world outside."""

HEAVY = {
    "accelerate",
    "litellm",
    "matplotlib",
    "numpy",
    "pandas",
    "peft",
    "rich",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
}
HEAVY |= {"openai", "trl", "vllm", "datasets", "lm_eval", "math_verify", "reasoning_gym", "sympy", "tqdm", "jinja2"}
"""Packages that are imported inside functions only, wherever somebody else may import the module for another reason."""

IMPORTED_AT_THE_TOP = {"harness": {"lm_eval", "datasets"}, "analysis": {"numpy"}}
"""What a room may import at the top: the harness subclasses the classes of lm_eval, the analysis computes on arrays."""


ROOMS = ("exams", "reading", "grading", "scoring", "records")
"""The rooms of the core."""


def sources(folder):
    """Return the modules of a folder and of those in it by dotted name; those at the top only for the package."""
    start, pattern = ROOT / folder, "*.py" if folder == "roi_bench" else "**/*.py"
    modules = {".".join(path.relative_to(start).with_suffix("").parts): path for path in sorted(start.glob(pattern))}
    return {name: path for name, path in modules.items() if path.stem not in ("__init__", "__main__")}


def imports(path, *, top_only=False):
    """Return the absolute names that a module imports; those for type checkers only are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    waiting, names = list(tree.body), set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            package = node.module in ("roi_bench", *(f"roi_bench.{room}" for room in (*OUTER, *ROOMS)))
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if package else {node.module}
        elif not (top_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            waiting += ast.iter_child_nodes(node)
    return names - {"__future__"}


def room(name):
    """Return the outer room that an imported name lies in, ``core`` for another of ours, None for somebody else's."""
    parts = name.split(".")
    if parts[0] != "roi_bench":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in OUTER else "core"


def packages(names):
    """Return the third-party packages among imported names."""
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"roi_bench"}


FRONT_DOOR = "python_api"
"""The module behind ``import roi_bench``: it may use every room, and no room uses it."""

CORE = {name: path for name, path in sources("roi_bench").items() if name != FRONT_DOOR}
CORE |= {f"{folder}.{name}": path for folder in ROOMS for name, path in sources(f"roi_bench/{folder}").items()}
ANALYSIS, API, HARNESS, CLI = (sources(f"roi_bench/{folder}") for folder in ("analysis", "api", "harness", "cli"))


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_only_its_own_packages(module):
    assert packages(imports(CORE[module])) <= THIRD_PARTY_OF_CORE.get(module, set())


@pytest.mark.parametrize("module", CORE)
def test_the_core_does_no_input_or_output_but_at_its_edge(module):
    touched = {name.split(".")[0] for name in imports(CORE[module])} & OUTSIDE
    calls = {"open", "print", "input"} & {
        node.func.id
        for node in ast.walk(ast.parse(CORE[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert module in EDGE or not touched | calls


def test_the_exceptions_are_still_needed():
    assert set(EDGE) <= set(CORE)
    assert set(THIRD_PARTY_OF_CORE) <= set(CORE)
    assert all(packages(imports(CORE[module])) == names for module, names in THIRD_PARTY_OF_CORE.items())
    assert [m for m in EDGE if not {name.split(".")[0] for name in imports(CORE[m])} & OUTSIDE] == []


def test_imports_point_inward():
    """The contracts of pyproject.toml hold: which room may import which, no circles, no lm_eval outside the harness."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "path",
    [*CORE.values(), *ANALYSIS.values(), *API.values(), *HARNESS.values(), *CLI.values()],
    ids=lambda path: path.stem,
)
def test_heavy_packages_are_imported_late(path):
    allowed = IMPORTED_AT_THE_TOP.get(path.relative_to(ROOT / "roi_bench").parts[0], set())
    assert packages(imports(path, top_only=True)) & HEAVY <= allowed


def loaded_by(statement):
    """Return the modules that a fresh interpreter has after ``statement`` and had not before."""
    script = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ANALYSIS)
def test_the_analysis_computes_and_does_no_input_or_output_but_loading_runs_and_writing_reports(module):
    touched = {name.split(".")[0] for name in imports(ANALYSIS[module])} & OUTSIDE
    assert module in ("load", "reports.figures", "reports.report") or not touched


def test_importing_the_package_loads_nothing_else():
    assert loaded_by("import roi_bench") == {"roi_bench"}


def test_importing_the_whole_core_loads_nothing_heavy():
    loaded = loaded_by("import " + ", ".join(f"roi_bench.{module}" for module in CORE))
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert not {name for name in loaded if room(name) not in ("core", None)}


def python_files():
    """Return the files of code, tests left out; links are not followed."""
    folders = ("roi_bench", "scripts", "benchmarks")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_modules_and_functions_fit():
    too_long = []
    for path in python_files():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MAX_MODULE_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert too_long == []


def test_the_map_of_modules_is_what_the_docstrings_say():
    page = module_map.PAGE.read_text(encoding="utf-8")
    assert page == module_map.module_map(), "run: python scripts/module_map.py"


def tracked_files():
    """Return the files that git tracks; of a source distribution without git, all but what tests and tools make."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, cwd=ROOT).stdout
        paths = [ROOT / name for name in listed.decode().split("\0") if name]
    else:
        made = {".venv", "__pycache__", ".cache", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
        paths = [path for path in sorted(ROOT.rglob("*")) if not made & set(path.relative_to(ROOT).parts)]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:work|tmp/w|root|home/\w+|Users/\w+)/",
    "the host of a package registry": r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|test\.pypi)",
    "something left to do": r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what):
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content or path == Path(__file__):
            continue
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_the_version_is_the_same_everywhere():
    import roi_bench

    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {roi_bench.__version__}\n" in citation


def test_the_house_stays_one_that_people_can_find_their_way_in():
    """The figures stay within the limits that docs/measurements.md states."""
    modules, alone = house_figures.imports()
    outcomes, files = house_figures.entered_files()
    assert outcomes == ["correct", "wrong", "skipped"]
    page = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    limits = {name: int(limit) for name, limit in re.findall(r"^- (\w[\w ]+): (\d+)$", page, re.MULTILINE)}
    assert len(modules) <= limits["modules"] <= 156
    assert len(alone) <= limits["modules that only one sibling imports"] <= 20, alone
    assert len(files) <= limits["files entered from a response to its number"] <= 12, files
