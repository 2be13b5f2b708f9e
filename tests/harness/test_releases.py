"""Calls of lm_eval that differ between its releases, in either form: that of the installed one, and that of 0.5."""

import logging
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from lm_eval import evaluator
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.task import TaskConfig

from roi_bench.harness import releases
from roi_bench.harness.bridge import task_folders
from roi_bench.harness.run_arguments import load_tasks, parse_arguments, select_tasks
from roi_bench.harness.task import RoiTask

NAME = "roi_tiny_hard_128"


@pytest.fixture
def loaded():
    """The manager, and the one task of ours, built."""
    manager, selected = select_tasks([NAME], None, {})
    return manager, load_tasks(manager, selected)


@pytest.mark.parametrize("loads_plugins", [False, True])
def test_our_folders_are_named_only_where_the_harness_does_not_find_them_itself(monkeypatch, loads_plugins):
    monkeypatch.setattr(releases, "names_group", lambda module, group: loads_plugins)
    given = releases.task_manager("mine", {}, defaults=False).include_path
    assert given == [*([] if loads_plugins else task_folders()), "mine"]


def test_a_release_whose_init_does_not_download_still_has_its_exams(monkeypatch):
    def deferred(self, config):
        self._config = TaskConfig(**config)

    monkeypatch.setattr(ConfigurableTask, "__init__", deferred)
    settings = {"exam_set": "tiny", "order": "hard", "budget": 128, "prompt": "direct"}
    task = RoiTask({"task": NAME, "dataset_kwargs": settings, "output_type": "generate_until"})
    assert len(task.exams) == len(task.dataset["test"]) == 480
    assert task.metrics


def test_requests_are_made_for_either_form_of_the_call(monkeypatch, loaded):
    _, (task,) = loaded
    doc = task.dataset["test"][3]
    old = task.construct_requests(doc, ["a", "b"], metadata=(NAME, 3, 2))
    monkeypatch.setattr(releases, "Instance", SimpleNamespace)  # that of 0.5 takes what today's does not
    new = task.construct_requests(doc, ["a", "b"], doc_id=3, apply_chat_template=False)
    for index, (one, other) in enumerate(zip(old, new, strict=True)):
        assert (one.task_name, one.doc_id, one.idx) == (other.task_name, other.doc_id, other.idx) == (NAME, 3, index)
        assert (one.arguments, one.doc, one.request_type) == (other.arguments, other.doc, other.request_type)
        assert other.target == task.doc_to_target(doc)


def test_results_come_by_request_in_either_form():
    assert releases.by_request([["a", "b"], ["c", "d"]], 2) == [["a", "b"], ["c", "d"]]
    assert releases.by_request(["a", "b", "c", "d"], 2) == [["a", "b"], ["c", "d"]]
    assert releases.by_request(["a", "b"], 1) == [["a"], ["b"]]


@pytest.mark.parametrize("bypassed", [False, True])
def test_a_task_run_for_its_responses_alone_is_known_in_either_form(bypassed):
    old = SimpleNamespace(_metric_fn_list={"bypass": None} if bypassed else {})
    new = SimpleNamespace(_has_metric=lambda name: bypassed and name == "bypass")
    assert [releases.scores_nothing(task) for task in (old, new)] == [bypassed, bypassed]


def test_a_manager_that_takes_names_alone_is_handed_the_built_tasks():
    manager, selected = select_tasks(["roi_tiny", "roi_tiny_solo_256"], None, {})
    built = load_tasks(manager, selected)
    stand_in = SimpleNamespace(load=lambda specs, overrides=None: None, all_tasks=["x"])
    of_built = releases._manager_of_built(stand_in, built)
    assert of_built.all_tasks == ["x"]
    wanted = manager.load(built)
    found = of_built.load(built)
    assert found == wanted
    assert releases._manager_of_built(manager, built) is manager


def git(*arguments, cwd):
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], cwd=cwd, check=True)


@pytest.mark.parametrize("repository", [False, True])
def test_git_does_not_complain_outside_a_repository(tmp_path, monkeypatch, capfd, loaded, repository):
    manager, tasks = loaded
    if repository:
        git("init", "--quiet", cwd=tmp_path)
        git("commit", "--quiet", "--allow-empty", "--message", "first", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(evaluator, "simple_evaluate", lambda **_: {"git_hash": evaluator.get_git_commit_hash()})
    shipped = evaluator.get_git_commit_hash
    found = releases.evaluate(None, tasks, manager)
    assert bool(found["git_hash"]) is repository
    assert capfd.readouterr().err == ""
    assert evaluator.get_git_commit_hash is shipped


def test_a_limit_is_no_reason_to_shout(caplog):
    with caplog.at_level(logging.DEBUG):
        parsed = parse_arguments(["--model", "dummy", "--tasks", NAME, "--limit", "4"])
    assert parsed.config.limit == 4
    assert [record for record in caplog.records if "limit" in record.getMessage().lower()] == []


def test_nothing_is_said_that_alarms_in_vain(monkeypatch, capfd, loaded):
    manager, tasks = loaded
    messages = ["%s appears to be an instruct or chat variant but …", "something else about %s"]

    def evaluation(**_):
        for message in messages:
            logging.getLogger(evaluator.__name__).warning(message, "m")
        tasks[0].build_all_requests(limit=2, rank=0, world_size=1)
        return {}

    monkeypatch.setattr(evaluator, "simple_evaluate", evaluation)
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(str(record.msg))

    logger = logging.Logger(evaluator.__name__, logging.DEBUG)  # whatever other tests have made of lm_eval's logging
    logger.addHandler(Listener())
    shipped = logging.getLogger
    monkeypatch.setattr(logging, "getLogger", lambda name=None: logger if name == evaluator.__name__ else shipped(name))
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)
    releases.evaluate(None, tasks, manager)
    assert said == messages[1:]
    assert "it/s" not in capfd.readouterr().err


@pytest.fixture
def described(monkeypatch):
    """What is recorded of the environment by an evaluation, and how often lm_eval described it in this process."""
    found, here = {}, []
    monkeypatch.setattr(evaluator, "simple_evaluate", lambda **_: evaluator.add_env_info(found))
    monkeypatch.setattr(evaluator, "add_env_info", lambda storage: (here.append(1), storage.update(by="lm_eval")))

    def describe():
        releases.evaluate(None, [], SimpleNamespace(load=lambda names: None))
        return found, len(here)

    return describe


def test_without_torch_another_process_describes_the_environment(monkeypatch, described):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    shipped = evaluator.add_env_info
    found, here = described()
    assert here == 0
    assert found.keys() == {"pretty_env_info", "transformers_version", "lm_eval_version", "upper_git_hash"}
    assert found["lm_eval_version"] == version("lm_eval")
    assert f"PyTorch version: {version('torch')}" in found["pretty_env_info"]
    assert evaluator.add_env_info is shipped


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "print('{}{')", ""])
def test_where_the_other_process_fails_lm_eval_describes_it_here(monkeypatch, described, program):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(releases, "_ENVIRONMENT", program)
    assert described() == ({"by": "lm_eval"}, 1)


def test_without_room_for_another_process_lm_eval_describes_it_here(monkeypatch, described):
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    def full(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(releases.subprocess, "Popen", full)
    assert described() == ({"by": "lm_eval"}, 1)


def test_with_torch_lm_eval_describes_it_here(monkeypatch, described):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    monkeypatch.setattr(releases.subprocess, "Popen", None)
    assert described() == ({"by": "lm_eval"}, 1)
