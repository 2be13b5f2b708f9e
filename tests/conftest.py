"""Fixtures that several test modules share."""

import os
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.pool_factory import write_pools

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among several processes, begin with the files that take long: the last one would leave the others idle."""
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def _machine_is_described_once() -> None:
    """Results of lm_eval describe the machine, which takes half a second: once a process here, not once a run."""
    torchs = sys.modules.get("torch.utils.collect_env")
    if torchs is not None and not hasattr(torchs.get_pretty_env_info, "cache_clear"):
        torchs.get_pretty_env_info = cache(torchs.get_pretty_env_info)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the real pools; tests that need it are skipped where it does not exist."""
    folder = Path(os.environ.get("ROI_BENCH_DATA_DIR") or REPOSITORY.parent / "shared" / "data")
    if not (folder / "gsm8k" / "test.jsonl").is_file():
        pytest.skip(f"no real pool data in {folder}; set ROI_BENCH_DATA_DIR")
    return folder


@pytest.fixture(scope="session")
def invented_pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-size data folder of invented problems."""
    return write_pools(tmp_path_factory.mktemp("pools"))
