"""A run's folder: whose it is, what may differ when it goes on, what is missing, examples that cannot be checked."""

from __future__ import annotations

import pytest

from roi_bench.errors import DependencyError, ModelError, RecordError, UsageError
from roi_bench.harness.installation import version
from roi_bench.reference_training.labels import LabelledProblem
from roi_bench.reference_training.mft_examples import Example
from roi_bench.reference_training.recipe import load_recipe, recipe_text
from roi_bench.reference_training.run import open_run, require_packages, run_mft, run_rarl
from roi_bench.reference_training.stage_model import last_checkpoint, train_to_the_end
from roi_bench.reference_training.training_data import NAMES, load_examples, load_rows, save_data
from tests.reference_training.tiny_labels import problems

TEST = load_recipe("test")


def silent(line):
    pass


# ----------------------------------------------------------------- the folder and its recipe


def test_the_recipe_is_written_whole_and_read_back(tmp_path):
    open_run(TEST, tmp_path)
    assert (tmp_path / "recipe.yaml").read_text("utf-8") == recipe_text(TEST)
    open_run(TEST, tmp_path)


@pytest.mark.parametrize(
    "change",
    ["sampling.batch_size=7", "mft.device_batch_size=5", "rarl.device_batch_size=8", "evaluation.limit=3"],
)
def test_what_is_lowered_when_memory_runs_out_may_differ(tmp_path, change):
    open_run(TEST, tmp_path)
    open_run(load_recipe("test", [change]), tmp_path)
    assert load_recipe(str(tmp_path / "recipe.yaml")) == load_recipe("test", [change])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("seed=1", "seed: 0 there, seed: 1 asked"),
        ("sampling.samples=3", "samples: 2 there, samples: 3 asked"),
        ("mft.batch_size=40", "batch_size: 20 there, batch_size: 40 asked"),
        ("rarl.learning_rate=1.0e-5", "learning_rate: 0.0003 there, learning_rate: 1.0e-05 asked"),
    ],
)
def test_what_changes_the_outcome_may_not(tmp_path, change, told):
    open_run(TEST, tmp_path)
    with pytest.raises(UsageError, match="holds a run of another recipe") as refused:
        open_run(load_recipe("test", [change]), tmp_path)
    assert told in str(refused.value)


# ----------------------------------------------------------------- what is missing


@pytest.mark.parametrize(("stage", "package"), [("mft", "trl"), ("rarl", "accelerate"), ("evaluate", "transformers")])
def test_a_missing_package_is_named_before_anything_is_computed(stage, package):
    def installed(name):
        return None if name == package else version(name)

    with pytest.raises(DependencyError, match=rf"package {package}: not installed.*pip install"):
        require_packages(TEST, stage, installed)
    require_packages(TEST, stage)


def test_a_version_that_will_not_do_is_named():
    with pytest.raises(DependencyError, match=r"package trl: .*0\.19"):
        require_packages(TEST, "rarl", lambda name: "0.19.0" if name == "trl" else version(name))


def test_rarl_without_an_mft_model_says_how_to_make_it(tmp_path):
    with pytest.raises(UsageError, match=r"roi-bench train mft test --out .* --model"):
        run_rarl(TEST, tmp_path, silent)


# ----------------------------------------------------------------- data on disk

PROBLEM = problems(1)["easy"][0]
LABEL = LabelledProblem(PROBLEM, "easy", 0, PROBLEM.solution or "", 15, 15, 4, 3)
EXAMPLE = Example("single", "a prompt", "a completion", None, 128, (0,), (PROBLEM.id,), 15)


def test_data_come_back_as_they_were_saved(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    assert load_examples(tmp_path) == [EXAMPLE]
    row = load_rows(tmp_path, "labels")[0]
    assert (row["problem_id"], row["level"], row["work"], row["correct"]) == (PROBLEM.id, 0, PROBLEM.solution, 3)
    for name in NAMES:
        card = (tmp_path / "data" / name / "README.md").read_text("utf-8")
        assert recipe_text(TEST) in card
        assert "| easy | 1 | 1 | 0 | 0 | 0 | 15 |" in card or name == "examples"


def test_damaged_data_are_said_to_be(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    for file in (tmp_path / "data" / "examples").glob("*.arrow"):
        file.write_bytes(b"not arrow")
    with pytest.raises(RecordError, match="remove the folder and build it again"):
        load_examples(tmp_path)


def test_an_example_whose_problems_cannot_be_told_is_refused(tmp_path):
    save_data(TEST, [LABEL], [EXAMPLE], tmp_path)
    with pytest.raises(RecordError, match=r"example 0 in .* has no header line"):
        run_mft(TEST, tmp_path, silent)


# ----------------------------------------------------------------- interrupted, out of memory


class FailingTrainer:
    """Fails as torch does, and remembers where it was told to go on."""

    def __init__(self, message):
        self.message, self.resumed = message, None

    def train(self, resume_from_checkpoint):
        self.resumed = resume_from_checkpoint
        raise RuntimeError(self.message)


@pytest.mark.parametrize(
    "message", ["CUDA out of memory. Tried to allocate", "DefaultCPUAllocator: can't allocate memory"]
)
def test_out_of_memory_says_what_to_lower_and_that_nothing_is_lost(tmp_path, message):
    with pytest.raises(
        ModelError, match=r"out of memory; lower x\.device_batch_size and .* goes on from the checkpoints in"
    ):
        train_to_the_end(FailingTrainer(message), tmp_path, "x.device_batch_size")


def test_another_failure_is_not_called_out_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shapes differ"):
        train_to_the_end(FailingTrainer("shapes differ"), tmp_path, "x")


def test_training_goes_on_from_the_newest_complete_checkpoint(tmp_path):
    for step, complete in ((5, True), (20, True), (100, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}", "utf-8")
    trainer = FailingTrainer("out of memory")
    with pytest.raises(ModelError):
        train_to_the_end(trainer, tmp_path, "x")
    assert trainer.resumed == str(tmp_path / "checkpoint-20")
    assert last_checkpoint(tmp_path / "nowhere") is None
