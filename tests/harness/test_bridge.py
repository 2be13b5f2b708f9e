"""The bridge against stand-ins for lm_eval, each in an interpreter of its own that runs the start-up line first."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import timeit
import tomllib
import zipfile
from pathlib import Path

import pytest

from hatch_build import STARTUP_SOURCE, pth_line
from roi_bench.harness import bridge
from tests.harness.fake_lm_eval import MANAGER, write_fake_lm_eval

ROOT = Path(__file__).resolve().parents[2]
OURS = [str((ROOT / "roi_bench" / name).resolve()) for name in ("tasks", "baselines/tasks")]  # links, but in an sdist
PATHS = "from lm_eval.tasks import TaskManager; show([str(p) for p in TaskManager({}).paths])"
MODELS = "import lm_eval.models; from lm_eval.api.registry import model_registry; show(dict(model_registry))"
STATE = "import lm_eval.models, lm_eval.tasks; from roi_bench.harness import bridge; show(bridge.state)"


@pytest.fixture
def startup():
    return pth_line((ROOT / STARTUP_SOURCE).read_text(encoding="utf-8"))


@pytest.fixture
def interpret(tmp_path, startup):
    """Return a function that runs the start-up line and a script beside a fake lm_eval, and returns what it shows.

    Without site-packages (``-S``), so that nothing installed here is seen.
    """

    def run(script, *, roi_bench=ROOT, switch="", flags=("-S", "-W", "error"), **fake):
        if "manager" in fake or not (tmp_path / "lm_eval").exists():
            write_fake_lm_eval(tmp_path, **fake)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ROI_BENCH_")}
        environment |= {"PYTHONPATH": f"{tmp_path}{os.pathsep}{roi_bench}", bridge.OFF_SWITCH: switch}
        program = f"{startup}\nimport json\ndef show(x): print(json.dumps(x))\n{script}"
        command = [sys.executable, *flags, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return run


def builtin(tmp_path):
    return str(tmp_path / "lm_eval" / "tasks")


def test_our_tasks_come_after_the_built_in_and_before_the_users(interpret, tmp_path):
    assert interpret(PATHS.format("")) == [builtin(tmp_path), *OURS]
    assert interpret(PATHS.format("include_path='mine'")) == [builtin(tmp_path), *OURS, "mine"]
    assert interpret(PATHS.format("None, ['a', 'b']")) == [builtin(tmp_path), *OURS, "a", "b"]


def test_a_manager_without_defaults_is_left_alone(interpret):
    assert interpret(PATHS.format("include_path='mine', include_defaults=False")) == ["mine"]


def test_our_folder_is_not_indexed_twice(interpret, tmp_path):
    assert interpret(PATHS.format(f"include_path={OURS!r}")) == [builtin(tmp_path), *OURS]


def test_the_manager_shows_what_its_caller_gave(interpret):
    script = (
        "from lm_eval.tasks import TaskManager; show([TaskManager().include_path, TaskManager(None, 'x').include_path])"
    )
    assert interpret(script) == [None, "x"]


def test_models_are_registered_beside_the_built_in(interpret):
    assert interpret(MODELS) == {"dummy": "lm_eval.models.dummy:DummyLM", **dict(bridge.MODELS)}


def test_the_first_lookup_still_loads_the_built_in_models(interpret):
    script = "from lm_eval.api.registry import get_model; show([get_model('roi-playback'), get_model('dummy')])"
    assert interpret(script) == [dict(bridge.MODELS)["roi-playback"], "lm_eval.models.dummy:DummyLM"]


@pytest.mark.parametrize(("switch", "on"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_the_off_switch(interpret, tmp_path, switch, on):
    assert interpret(PATHS.format(""), switch=switch) == [builtin(tmp_path), *(OURS if on else [])]
    assert ("roi-playback" in interpret(MODELS, switch=switch)) is on


def test_it_steps_aside_where_the_harness_loads_entry_points(interpret, tmp_path):
    info = tmp_path / "roi_bench-0.1.0.dist-info"  # as pip writes it
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: roi-bench\nVersion: 0.1.0\n")
    points = "roi_bench = roi_bench.tasks\nroi_bench_baselines = roi_bench.baselines.tasks\n"
    (info / "entry_points.txt").write_text(f"[lm_eval.tasks]\n{points}")
    found = interpret(PATHS.format("include_path='mine'"), loads_entry_points=True)
    assert found == [builtin(tmp_path), *OURS, "mine"]
    assert interpret(STATE) == dict.fromkeys(["lm_eval.models", "lm_eval.tasks.manager"], "stepped aside")
    assert "roi-playback" not in interpret(MODELS)


def test_a_released_harness_is_bridged(interpret):
    assert interpret(STATE) == dict.fromkeys(["lm_eval.models", "lm_eval.tasks.manager"], "bridged")


def test_an_unknown_harness_works_on_without_us_and_the_reason_is_kept(interpret):
    manager = MANAGER.replace("include_path", "task_folders")
    script = "from lm_eval.tasks import TaskManager; TaskManager(task_folders='x'); " + STATE
    state = interpret(script, manager=manager)
    assert state["lm_eval.tasks.manager"].startswith("failed: TypeError: TaskManager takes self, verbosity, task_f")
    assert state["lm_eval.models"] == "bridged"


def test_without_roi_bench_the_start_up_line_is_silent(interpret, tmp_path):
    nothing = tmp_path / "empty"
    assert interpret(PATHS.format(""), roi_bench=nothing) == [builtin(tmp_path)]
    half = tmp_path / "half"
    (half / "roi_bench").mkdir(parents=True)
    (half / "roi_bench" / "__init__.py").write_text("raise RuntimeError('half removed')")
    assert interpret(PATHS.format(""), roi_bench=half) == [builtin(tmp_path)]


def test_nothing_is_imported_before_lm_eval(interpret):
    script = "import sys; show(sorted(name for name in sys.modules if name.split('.')[0] in ('roi_bench', 'typing')))"
    assert interpret(script) == []


def test_only_the_standard_library_is_imported_with_lm_eval(interpret):
    script = "import sys; import lm_eval.models, lm_eval.tasks\nshow(sorted(n for n in {m.split('.')[0] for m in "
    script += "sys.modules} if n not in sys.stdlib_module_names and not n.startswith('_')))"
    assert interpret(script) == ["lm_eval", "roi_bench"]


def test_two_start_up_files_do_not_call_each_other(interpret, tmp_path, startup):
    again = startup.replace("import sys; ", "").strip()
    finder = "import sys; first = sys.meta_path.pop(0); "
    script = f"{finder}{again}; sys.meta_path.insert(0, first); " + PATHS.format("")
    assert interpret(script) == [builtin(tmp_path), *OURS]


def test_the_loader_is_left_as_it_was(interpret):
    script = (
        "import lm_eval.tasks.manager as m; show([type(m.__loader__).__name__, 'exec_module' in vars(m.__loader__)])"
    )
    assert interpret(script) == ["SourceFileLoader", False]


def test_a_zipped_harness_is_bridged_too(tmp_path, interpret):
    write_fake_lm_eval(tmp_path)
    with zipfile.ZipFile(tmp_path / "harness.zip", "w") as archive:
        for path in sorted((tmp_path / "lm_eval").rglob("*.py")):
            archive.write(path, path.relative_to(tmp_path))
    script = "import sys; sys.path.insert(0, 'harness.zip'); from lm_eval.tasks import TaskManager; "
    assert set(OURS) <= set(interpret(script + "show([str(p) for p in TaskManager().paths])"))


def test_install_bridges_what_is_loaded_already(interpret, tmp_path):
    script = "import sys; sys.meta_path.pop(0); import lm_eval.tasks; from roi_bench.harness import bridge; "
    script += "bridge.install(); bridge.install(); " + PATHS.format("")
    assert interpret(script) == [builtin(tmp_path), *OURS]


def test_the_declared_entry_points_are_what_the_bridge_adds():
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["entry-points"]
    assert declared[bridge.MODELS_GROUP] == dict(bridge.MODELS)
    folders = []
    for value in declared[bridge.TASKS_GROUP].values():
        spec = importlib.util.find_spec(value)
        assert spec is not None
        folders += [str(Path(p).resolve()) for p in spec.submodule_search_locations or ()]
    assert folders == OURS


def test_every_model_name_leads_to_a_model():
    from lm_eval.api.model import LM

    for name, target in bridge.MODELS:
        model = importlib.metadata.EntryPoint(name, target, bridge.MODELS_GROUP).load()
        assert issubclass(model, LM)


def test_whether_the_installed_harness_loads_entry_points_is_told_rightly():
    import lm_eval.tasks.manager as manager

    source = Path(manager.__file__).read_text(encoding="utf-8")
    assert bridge.names_group(manager, bridge.TASKS_GROUP) is ("entry_points" in source)


def test_start_up_costs_little_beside_importing_one_small_module(startup, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    fresh = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if not hasattr(f, 'roi_bench_bridge')]\n"
    ours = min(timeit.repeat(fresh + startup, repeat=5, number=20))
    other = min(timeit.repeat("import sys; sys.modules.pop('colorsys', None); import colorsys", repeat=5, number=20))
    print(f"start-up line {ours / 20 * 1e6:.0f} µs, import colorsys {other / 20 * 1e6:.0f} µs")
    assert ours < 5 * other
