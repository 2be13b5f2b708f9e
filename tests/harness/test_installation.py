"""Installed as users install it: ours and lm_eval, normal and editable, in environments of their own."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from hatch_build import LINKS, PTH_NAME, START_NAME, STARTUP_COPY
from tests.harness.throwaway import ROOT, Environment, create, lm_eval_source

pytestmark = pytest.mark.slow

PROBE = """
import importlib.resources, json, sys
assert "roi_bench" not in sys.modules
import lm_eval, lm_eval.models, lm_eval.tasks
from lm_eval.api.registry import model_registry
from roi_bench.harness import bridge
import roi_bench
print(json.dumps({
    "tasks": lm_eval.tasks.TaskManager().all_tasks,
    "models": [name for name in model_registry],
    "state": bridge.state,
    "lm_eval": lm_eval.__file__,
    "roi_bench": roi_bench.__file__,
    "data": sorted(entry.name for entry in importlib.resources.files("roi_bench").joinpath("data").iterdir()),
}))
"""


def task_names() -> set[str]:
    """Return the names of all tasks and groups that the task files declare."""
    names = set()
    for path in sorted((ROOT / "tasks").glob("**/*.yaml")):
        text = path.read_text(encoding="utf-8").replace("!function ", "")
        config = yaml.safe_load(text)
        names |= {config["group"] if "group" in config else config["task"]}
    return names


def listed(environment: Environment, **variables: str) -> set[str]:
    """Return every word of the table that ``lm_eval ls tasks`` prints."""
    done = environment.run("lm_eval", "ls", "tasks", **variables)
    assert done.returncode == 0, done.stderr
    assert "roi_bench" not in done.stderr
    return set(done.stdout.replace("|", " ").split())


def started_by_pep_829(environment: Environment) -> list[object]:
    """Do what Python 3.15 does with the successor file: whether the finder waits then, and what of ours is imported."""
    (line,) = (environment.site_packages / START_NAME).read_text().splitlines()
    code = f"""
import json, pkgutil, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not hasattr(finder, "roi_bench_bridge")]
pkgutil.resolve_name({line!r})()
ours = [name for name in sys.modules if name.partition(".")[0] == "roi_bench"]
print(json.dumps([any(hasattr(finder, "roi_bench_bridge") for finder in sys.meta_path), ours]))
"""
    done = environment.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    return lm_eval_source(tmp_path_factory.mktemp("lm_eval_source"))


@pytest.mark.parametrize("ours_editable", [False, True], ids=["ours-normal", "ours-editable"])
@pytest.mark.parametrize("harness_editable", [False, True], ids=["lm_eval-normal", "lm_eval-editable"])
def test_plain_lm_eval_knows_every_task_until_ours_is_uninstalled(tmp_path, harness, ours_editable, harness_editable):
    environment = create(tmp_path / "environment")
    environment.install(harness, editable=harness_editable)
    environment.install(ROOT, editable=ours_editable)
    names = task_names()
    assert "roi_exam_hard_512" in names

    done = environment.run("python", "-c", PROBE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert names | {"arc_easy"} <= set(found["tasks"])
    assert {"roi-playback", "hf"} <= set(found["models"])
    assert set(found["state"].values()) == {"bridged"}
    assert Path(found["lm_eval"]).is_relative_to(harness if harness_editable else environment.site_packages)
    assert Path(found["roi_bench"]).is_relative_to(ROOT if ours_editable else environment.site_packages)
    assert set(found["data"]) >= {path.name for path in (ROOT / "roi_bench" / "data").iterdir()} - {"__pycache__"}

    assert names | {"arc_easy"} <= listed(environment)
    off = listed(environment, ROI_BENCH_NO_BRIDGE="1")
    assert "arc_easy" in off
    assert not names & off
    version = environment.run("roi-bench", "--version")
    assert (version.returncode, version.stderr) == (0, "")

    assert (environment.site_packages / PTH_NAME).exists()
    assert started_by_pep_829(environment) == [True, []]
    environment.pip("uninstall", "--yes", "roi-bench")
    assert [path.name for path in environment.site_packages.glob("*roi*bench*")] == []
    after = listed(environment)
    assert "arc_easy" in after
    assert not names & after


def test_a_left_over_start_up_file_does_no_harm(tmp_path):
    environment = create(tmp_path / "environment")
    environment.install(ROOT, editable=True)
    (environment.site_packages / "_editable_impl_roi_bench.pth").write_text("")
    for flags in ([], ["-I"], ["-S"], ["-W", "error"]):
        done = environment.run("python", *flags, "-c", "print('fine')")
        assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Return the folder with an sdist, the wheel built from that sdist, and below it a wheel from the checkout."""
    folder = tmp_path_factory.mktemp("built")
    for arguments in ((str(folder),), (str(folder / "direct"), "--wheel")):
        command = [sys.executable, "-m", "build", "--no-isolation", str(ROOT), "--outdir", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def linkless(tmp_path):
    """A checkout as git makes it where it makes no symbolic links: a small file stands for each."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "roi_bench", copy / "roi_bench", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKS:
        place = copy / "roi_bench" / name
        if place.is_symlink():
            place.unlink()
        else:
            shutil.rmtree(place)
        place.write_text(f"../{name}")
        shutil.copytree(ROOT / "roi_bench" / name, copy / name)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def test_a_checkout_without_links_finds_tasks_and_recipes_beside_the_package(linkless):
    code = (
        "import roi_bench; from roi_bench.harness.bridge import task_folders\n"
        "from roi_bench.training.plan.recipe import RECIPES\n"
        "print(roi_bench.__file__); print(*[path / 'roi_exam_hard_512.yaml' for path in task_folders()][:1])\n"
        "print(RECIPES / 'tiny.yaml')"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=linkless,
        env={**os.environ, "PYTHONPATH": str(linkless)},
    ).stdout.split()
    assert all(Path(path).is_file() and Path(path).is_relative_to(linkless) for path in found)
    assert len(found) == 3


def test_no_wheel_is_built_from_a_checkout_without_links(linkless, tmp_path):
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        str(linkless),
        "--outdir",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert not list((tmp_path / "out").glob("*.whl"))
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if "roi_bench/tasks" in line)
    assert "git config core.symlinks true" in line


def package_files() -> set[str]:
    """Return every file of the package in the checkout, links followed, as paths from its root."""
    files = set()
    for folder, folders, names in os.walk(ROOT / "roi_bench", followlinks=True):
        folders[:] = [name for name in folders if name not in ("__pycache__", ".cache")]
        files |= {str(Path(folder, name).relative_to(ROOT)) for name in names if not name.endswith((".pyc", ".log"))}
    return files


def test_the_wheel_holds_the_package_the_start_up_files_and_nothing_else(built):
    (path,) = (built / "direct").glob("*.whl")
    names = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    assert names == package_files() | {PTH_NAME, START_NAME, f"{STARTUP_COPY}.py"}
    assert {"roi_bench/tasks/roi_exam_hard_512.yaml", "roi_bench/data/exams_v1.json"} <= names


def test_the_wheel_from_the_sdist_is_the_wheel_from_the_checkout(built):
    (direct,) = (built / "direct").glob("*.whl")
    assert (built / direct.name).read_bytes() == direct.read_bytes()


def test_the_sdist_holds_package_tests_and_scripts(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        assert not [member.name for member in archive if member.issym() or member.islnk()]
    assert package_files() <= names
    assert {"pyproject.toml", "hatch_build.py", "LICENSE", "README.md", "CHANGELOG.md", "scripts/test.sh"} <= names
    assert "tests/harness/test_installation.py" in names
