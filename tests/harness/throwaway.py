"""Throw-away environments that share every installed package except lm_eval and roi-bench with this one."""

import importlib.metadata
import os
import shutil
import site
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRESH = ("lm_eval", "roi_bench", "_roi_bench", "_editable_impl_roi_bench", "__editable__")
"""What the new environment must not see of this one: the two packages, their metadata and their editable files."""

LM_EVAL_PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "lm_eval"
version = "{version}"
[project.scripts]
lm_eval = "lm_eval.__main__:cli_evaluate"
[tool.setuptools.packages.find]
include = ["lm_eval*"]
[tool.setuptools.package-data]
lm_eval = ["**/*.yaml", "tasks/**/*"]
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment at ``folder``."""

    folder: Path

    @property
    def site_packages(self) -> Path:
        """Where this environment installs to."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def run(self, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, offline and away from the checkout; any exit code is returned."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ROI_BENCH", "VIRTUAL_ENV"))}
        kept |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **variables}
        command = [str(self.folder / "bin" / program), *arguments]
        return subprocess.run(command, env=kept, cwd=self.folder, capture_output=True, text=True, check=False)

    def pip(self, *arguments: str) -> None:
        """Run this environment's interpreter with pip; fail with pip's own words."""
        done = self.run("python", "-m", "pip", "--disable-pip-version-check", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, source: Path, *, editable: bool) -> None:
        """Install a source tree without its dependencies, with the build tools that are here."""
        flags = ["--no-deps", "--no-index", "--no-build-isolation"]
        self.pip("install", *flags, *(["--editable"] if editable else []), str(source))


def create(folder: Path) -> Environment:
    """Make an environment in ``folder`` in which this one's packages are importable, but not lm_eval and roi-bench."""
    venv.create(folder, with_pip=False)
    shared = folder / "shared"
    shared.mkdir()
    for source in dict.fromkeys(path for path in (*site.getsitepackages(), *sys.path) if "site-packages" in path):
        for item in sorted(Path(source).iterdir() if Path(source).is_dir() else ()):
            if not item.name.startswith(FRESH) and item.suffix != ".pth" and not (shared / item.name).exists():
                (shared / item.name).symlink_to(item)
    environment = Environment(folder)
    (environment.site_packages / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
    return environment


def lm_eval_source(folder: Path) -> Path:
    """Write a source tree of the lm_eval that is installed here, with one folder of its tasks, and return it.

    The code is the whole code; of some 14,000 task files a few are enough, and the index takes seconds less.
    """
    import lm_eval

    (installed,) = lm_eval.__path__
    ignored = shutil.ignore_patterns("__pycache__")

    def ignore(where: str, names: list[str]) -> set[str]:
        if Path(where) == Path(installed, "tasks"):
            return {name for name in names if Path(where, name).is_dir() and name != "arc"}
        return ignored(where, names)

    shutil.copytree(installed, folder / "lm_eval", ignore=ignore)
    version = importlib.metadata.version("lm_eval")
    (folder / "pyproject.toml").write_text(LM_EVAL_PROJECT.format(version=version), encoding="utf-8")
    return folder
