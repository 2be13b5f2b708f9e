"""Every task file says what its name says, every combination is there, and lm_eval can load them all."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from roi_bench.harness.task import RoiTask
from roi_bench.scoring.prompts import BASELINES
from tests.harness.harness_runs import TASK_FOLDERS

SETS = {"exam": "v1", "fresh": "fresh", "tiny": "tiny"}
BUDGETS = {"exam": (512, 1024), "fresh": (512, 1024), "tiny": (128, 256)}
ORDERS = ("medium", "hard")
SOLO_STEMS = {"exam": "roi_solo", "fresh": "roi_fresh_solo", "tiny": "roi_tiny_solo"}
SUFFIXES = {"direct": "", **{name: f"_{name}" for name in BASELINES}}

EXAM_TASKS = {
    f"roi_{stem}_{order}_{budget}{suffix}": {"exam_set": SETS[stem], "order": order, "budget": budget, "prompt": prompt}
    for stem, order, (prompt, suffix) in product(SETS, ORDERS, SUFFIXES.items())
    for budget in BUDGETS[stem]
}
SOLO_TASKS = {
    f"{SOLO_STEMS[stem]}_{budget}": {"exam_set": SETS[stem], "budget": budget, "prompt": "solo"}
    for stem in SETS
    for budget in BUDGETS[stem]
}
GROUPS = {
    f"roi_{stem}{suffix}": {f"roi_{stem}_{order}_{budget}{suffix}" for order in ORDERS for budget in BUDGETS[stem]}
    for stem, suffix in product(SETS, SUFFIXES.values())
}
"""Names and meanings, put together from SPEC section 4 alone."""


class Loader(yaml.SafeLoader):
    """Reads ``!function`` as the dotted name that stands there."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def read(path: Path) -> dict[str, Any]:
    """Return a YAML with what it includes, its own entries first, as lm_eval merges them."""
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506 - a safe loader
    included = content.pop("include", None)
    return {**(read(path.parent / included) if included else {}), **content}


FILES = {path.stem: path for folder in TASK_FOLDERS for path in sorted(Path(folder).glob("*.yaml"))}


@cache
def manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=TASK_FOLDERS, include_defaults=False)


def test_every_combination_has_a_file_and_there_is_no_other() -> None:
    assert set(FILES) == {*EXAM_TASKS, *SOLO_TASKS, *GROUPS}
    assert len(FILES) == sum(len(list(Path(folder).glob("*.yaml"))) for folder in TASK_FOLDERS)
    assert (len(EXAM_TASKS), len(SOLO_TASKS), len(GROUPS)) == (60, 6, 15)


@pytest.mark.parametrize("name", [*EXAM_TASKS, *SOLO_TASKS])
def test_a_task_is_what_its_name_says(name: str) -> None:
    content = read(FILES[name])
    expected = {**EXAM_TASKS, **SOLO_TASKS}[name]
    assert content.pop("dataset_kwargs") == expected
    assert content == {
        "task": name,
        "class": f"{RoiTask.__module__}.{RoiTask.__qualname__}",
        "output_type": "generate_until",
        "metadata": {"version": 2},
    }


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_holds_its_four_tasks_and_adds_nothing_up(name: str) -> None:
    content = read(FILES[name])
    tasks = content.pop("task")
    assert set(tasks) == GROUPS[name]
    assert len(tasks) == 4
    assert content == {"group": name, "metadata": {"version": 2}}  # no aggregate over orders and budgets


def test_baselines_lie_apart_from_the_tasks() -> None:
    for name, path in FILES.items():
        is_baseline = any(name.endswith(suffix) for suffix in SUFFIXES.values() if suffix)
        assert path.parent == Path(TASK_FOLDERS[is_baseline])


def test_lm_eval_indexes_them_all_by_these_names() -> None:
    assert set(manager().all_tasks) == set(FILES)
    assert set(manager().all_groups) == set(GROUPS)


def loaded(names: list[str]) -> dict[str, Any]:
    tasks: dict[str, Any] = manager().load(names)["tasks"]
    return tasks


def check_loaded(stem: str, problems: int) -> None:
    names = [name for name in (*EXAM_TASKS, *SOLO_TASKS) if re.match(rf"roi_({stem}_|{SOLO_STEMS[stem][4:]}_\d)", name)]
    assert len(names) == 22
    tasks = loaded([f"roi_{stem}{suffix}" for suffix in SUFFIXES.values()])
    tasks |= loaded([name for name in names if name in SOLO_TASKS])
    assert set(tasks) == set(names)
    for name, task in tasks.items():
        expected = {**EXAM_TASKS, **SOLO_TASKS}[name]
        settings = task.settings
        assert (settings.exam_set, settings.budget, settings.prompt) == tuple(
            expected[key] for key in ("exam_set", "budget", "prompt")
        )
        assert settings.order == expected.get("order")
        assert task.config.generation_kwargs["max_gen_toks"] == expected["budget"]
        documents = list(task.test_docs())
        assert len(documents) == (problems if name in SOLO_TASKS else 480)
        asked = "Problem:\n" if expected["prompt"] in ("solo", "greedy_knapsack") else "Problem 1.\n"
        assert task.doc_to_text(task.requests_of(documents[0])[0]).startswith(asked)


def test_the_tiny_tasks_can_be_loaded() -> None:
    check_loaded("tiny", 1440)


def test_the_fresh_tasks_can_be_loaded() -> None:
    check_loaded("fresh", 1440)


def test_the_tasks_of_the_real_exams_can_be_loaded(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    check_loaded("exam", 990)
