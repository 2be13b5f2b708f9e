"""The commands of the README refuse with a clear message where they cannot work, and are valid shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_shell(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def checkout(tmp_path):
    """A copy of the scripts in a folder without an environment."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def make_environment(checkout, python):
    command = ["bash", "-c", ". scripts/environment.sh; ensure_environment; echo ready"]
    environment = {**os.environ, "PYTHON": str(python)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout, env=environment)


@pytest.mark.parametrize("version", ["none", "3.10"])
def test_without_a_python_that_will_do_nothing_is_made(checkout, version):
    python = checkout / "python"
    if version == "3.10":  # as such an interpreter answers the question for its version
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    done = make_environment(checkout, python)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert str(python) in done.stderr
    assert "ready" not in done.stdout
    assert not (checkout / ".venv").exists()


def test_an_environment_that_is_up_to_date_is_used_as_it_is(checkout):
    for name in ("pyproject.toml", "hatch_build.py", "roi_bench/harness/startup.py", "roi_bench/__init__.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    bin_ = checkout / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").symlink_to(shutil.which("false") or "/bin/false")  # whatever is asked of it fails
    command = f". scripts/environment.sh; environment_key '{sys.executable}'"
    asked = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=checkout)
    (checkout / ".venv" / "roi-bench.key").write_text(asked.stdout)
    done = make_environment(checkout, sys.executable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    (checkout / "pyproject.toml").write_text("changed")
    done = make_environment(checkout, sys.executable)
    assert "Installing roi-bench" in done.stderr
