"""Recipes: every setting of a training run in one YAML file, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from roi_bench.errors import DependencyError, UsageError, nearest
from roi_bench.exams.exam import ORDERS
from roi_bench.machine import data_folder
from roi_bench.rewards import Reward

# Checking recipes: known keys, values of the right type and range; changing a recipe. Pure.

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}

SEEDS = 2**31
"""Seeds below this one. NumPy takes them up to 2**32, and the trainers add the number of a process to them."""

Rule = tuple[bool, str, object, str]
"""Whether a rule holds; key, value and expectation for the message where it does not."""


def check_settings(kind: type, data: Mapping[Any, Any], where: str, prefix: str = "") -> None:
    """Check that ``data`` has only keys that the dataclass ``kind`` has, all that it needs, and values of their types.

    Args:
        kind: A dataclass of settings.
        data: The settings as read from YAML.
        where: Their source, for messages.
        prefix: What stands before the keys in messages: the keys above, with dots.

    Raises:
        UsageError: The first invalid key or value, at any depth.
    """
    hints = get_type_hints(kind)
    known = [item.name for item in fields(kind)]
    for key in data:
        if key not in known:
            raise UsageError(f"recipe {where}: unknown key {prefix + str(key)!r}; {nearest(str(key), known)}")
    for item in fields(kind):
        if item.name in data:
            _check_type(hints[item.name], data[item.name], where, prefix + item.name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise UsageError(f"recipe {where}: {prefix + item.name} is missing; it has no default")


def _check_type(hint: Any, value: object, where: str, key: str) -> None:
    choices = get_args(hint)
    if type(None) in choices:  # X | None
        if value is None:
            return
        hint = choices[0]
        choices = get_args(hint)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            known = ", ".join(item.name for item in fields(hint))
            raise _fault(where, key, value, f"settings: {known}")
        check_settings(hint, value, where, f"{key}.")  # type: ignore[arg-type]
    elif get_origin(hint) is Literal:
        if value not in choices:
            known_ones = [str(choice) for choice in choices]
            raise _fault(where, key, value, f"one of {', '.join(known_ones)}{_near(value, known_ones)}")
    elif get_origin(hint) in (tuple, dict):
        _check_container(hint, value, where, key)
    elif hint is not Any and not _is_a(hint, value):
        raise _fault(where, key, value, _NAMES[hint] + exponent_remark(hint, value))


def _check_container(hint: Any, value: object, where: str, key: str) -> None:
    first, second = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise _fault(where, key, value, f"a list, such as [{value}]")
        for index, item in enumerate(value):
            _check_type(first, item, where, f"{key}[{index}]")
        return
    if not isinstance(value, Mapping):
        raise _fault(where, key, value, "keys with values")
    for name, item in value.items():
        _check_type(first, name, where, f"a key of {key}")
        _check_type(second, item, where, f"{key}.{name}")


def _is_a(kind: type, value: object) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def exponent_remark(kind: type, value: object) -> str:
    """Return a remark on YAML's pitfall that 1e-5 without a decimal point is text."""
    if kind is not float or not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    mantissa, mark, exponent = value.lower().partition("e")
    if not mark:
        return f", without quotes: {number}"
    return f" (YAML takes this for text; write {mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d})"


def _near(value: object, known: list[str]) -> str:
    hint = nearest(str(value), known)
    return f"; {hint}" if hint.startswith("did you mean") else ""


def _fault(where: str, key: str, value: object, expected: str) -> UsageError:
    return UsageError(f"recipe {where}: {key} is {value!r:.80}; expected {expected}")


def apply_change(data: dict[str, Any], change: str) -> None:
    """Set one value in the settings ``data``; ``change`` is ``key=value``, with dots for nested keys, the value YAML.

    Raises:
        UsageError: It has no key or no value, or the key lies below a single value.
    """
    import yaml

    key, equals, value = change.partition("=")
    if not equals or not key:
        raise UsageError(f"cannot read the change {change!r}; write key=value, e.g. mft.epochs=2")
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        inner = place[parent] = {} if place.get(parent) is None else place[parent]
        if not isinstance(inner, dict):
            raise UsageError(f"cannot set {key!r}: {parent!r} is a single value")
        place = inner
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"cannot read the value of {key!r}: {value!r} is not YAML") from error


def check_values(recipe: Recipe, where: str) -> None:
    """Check that every value is valid; ``where`` names the source of the recipe in messages.

    Raises:
        UsageError: The first value that is not.
    """
    for holds, key, value, expected in (*_general(recipe), *_mft(recipe), *_rarl(recipe)):
        if not holds:
            raise _fault(where, key, value, expected)
    mft, rarl = recipe.mft, recipe.rarl
    responses = rarl.prompts * rarl.generations
    whole = [
        ("mft.batch_size", mft.batch_size, "mft.device_batch_size", mft.device_batch_size),
        ("rarl.prompts × rarl.generations", responses, "rarl.device_batch_size", rarl.device_batch_size),
    ]
    for name, total, divisor_name, divisor in whole:
        if divisor < 1 or total < 1 or total % divisor:
            raise UsageError(f"recipe {where}: {name} is {total}, which {divisor_name} ({divisor}) does not divide")


def _general(recipe: Recipe) -> Iterator[Rule]:
    budgets, sampling, labels, lora = recipe.budgets, recipe.sampling, recipe.labels, recipe.lora
    evaluation, asked = recipe.evaluation, recipe.sampling.problems
    ascending = all(left < right for left, right in pairwise(budgets))
    yield bool(budgets) and min(budgets) > 0, "budgets", budgets, "at least one, each above 0"
    yield ascending, "budgets", budgets, "different ones, the tightest first"
    yield 0 <= recipe.seed < SEEDS, "seed", recipe.seed, f"0 to {SEEDS - 1}"
    counts = (asked.easy, asked.middle, asked.hard)
    yield min(counts) > 0, "sampling.problems", counts, "at least 1 of each tier"
    yield sampling.samples > 0, "sampling.samples", sampling.samples, "at least 1"
    yield sampling.temperature > 0, "sampling.temperature", sampling.temperature, "above 0"
    yield sampling.cap is None or sampling.cap > 0, "sampling.cap", sampling.cap, "at least 1, or null"
    yield sampling.batch_size > 0, "sampling.batch_size", sampling.batch_size, "at least 1"
    range_correct = f"1 to sampling.samples ({sampling.samples})"
    holds = 0 < labels.minimum_correct <= sampling.samples
    yield holds, "labels.minimum_correct", labels.minimum_correct, range_correct
    yield 0.25 <= labels.largest_share <= 1, "labels.largest_share", labels.largest_share, "0.25 to 1 (four levels)"
    if lora is not None:
        yield lora.rank > 0, "lora.rank", lora.rank, "at least 1"
        yield lora.alpha > 0, "lora.alpha", lora.alpha, "above 0"
        yield 0 <= lora.dropout < 1, "lora.dropout", lora.dropout, "0 or more, below 1"
    limit = evaluation.limit
    yield limit is None or limit > 0, "evaluation.limit", limit, "at least 1, or null for all exams"
    yield evaluation.batch_size > 0, "evaluation.batch_size", evaluation.batch_size, "at least 1"
    yield evaluation.samples >= 0, "evaluation.samples", evaluation.samples, "at least 0"


def _mft(recipe: Recipe) -> Iterator[Rule]:
    mft = recipe.mft
    for name, count in (("singles", mft.singles), ("exams", mft.exams), ("solo", mft.solo)):
        yield count >= 0, f"mft.{name}", count, "at least 0"
    yield mft.singles + mft.exams > 0, "mft.exams", mft.exams, "some examples"
    yield 0 <= mft.over_budget_kept <= 1, "mft.over_budget_kept", mft.over_budget_kept, "0 to 1"
    yield _are_shares(mft.orders), "mft.orders", mft.orders, "shares of easy, medium and hard"
    yield mft.learning_rate > 0, "mft.learning_rate", mft.learning_rate, "above 0"
    yield mft.epochs > 0, "mft.epochs", mft.epochs, "above 0"


def _are_shares(orders: Mapping[str, float]) -> bool:
    return set(orders) <= set(ORDERS) and sum(orders.values()) > 0 and min(orders.values()) >= 0


def _rarl(recipe: Recipe) -> Iterator[Rule]:
    rarl = recipe.rarl
    curriculum = rarl.curriculum
    yield rarl.steps > 0, "rarl.steps", rarl.steps, "at least 1"
    yield rarl.generations > 1, "rarl.generations", rarl.generations, "at least 2: a group of one has no baseline"
    yield rarl.learning_rate > 0, "rarl.learning_rate", rarl.learning_rate, "above 0"
    yield rarl.temperature > 0, "rarl.temperature", rarl.temperature, "above 0"
    yield _are_shares(rarl.orders), "rarl.orders", rarl.orders, "shares of easy, medium and hard"
    parts = set(curriculum) <= set(recipe.budgets) and sum(curriculum.values()) <= 1
    expected = f"shares of the steps (together at most 1) for budgets out of {list(recipe.budgets)}"
    yield parts and min(curriculum.values(), default=0) >= 0, "rarl.curriculum", curriculum, expected
    fault = rarl.reward.format_fault
    yield fault >= 0, "rarl.reward.format_fault", fault, "at least 0"
    yield rarl.evaluate_every >= 0, "rarl.evaluate_every", rarl.evaluate_every, "at least 0"
    held_out = rarl.evaluation_exams
    yield held_out > 0 or rarl.evaluate_every == 0, "rarl.evaluation_exams", held_out, "at least 1"
    yield held_out >= 0, "rarl.evaluation_exams", held_out, "at least 0"
    judged = rarl.evaluate_every > 0 or rarl.patience == 0
    yield rarl.patience >= 0 and judged, "rarl.patience", rarl.patience, "at least 0, and 0 where evaluate_every is 0"


# Recipes: every setting of a training run in one YAML file, checked before anything is loaded.
#
# A recipe names the model, the family of problems, and the settings of each stage; what it leaves out has the default
# that the dataclasses below document. The mappings ``trainer`` go to TRL's own configuration class (``SFTConfig``,
# ``GRPOConfig``) as they stand, except for what the method fixes.

RECIPES = data_folder("reference_training/recipes")
"""Folder of the recipes that come with the package; each is known by its name."""

Family = Literal["tiny", "v1"]


@dataclass(frozen=True, slots=True)
class TierCounts:
    """One number for each tier."""

    easy: int
    middle: int
    hard: int

    def __getitem__(self, tier: str) -> int:
        count: int = getattr(self, tier)
        return count


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the base model is sampled for labels.

    Attributes:
        problems: Training problems by tier; a pool with fewer gives all it has.
        samples: Solutions K sampled for each problem.
        temperature: Sampling temperature.
        cap: Most tokens of a solution; None for the upper bound of Level-2.
        batch_size: Prompts generated together (transformers only).
        backend: ``auto`` takes vLLM where it is installed and a CUDA GPU is there, else transformers.
    """

    problems: TierCounts = field(default_factory=lambda: TierCounts(1000, 1000, 1000))
    samples: int = 4
    temperature: float = 0.7
    cap: int | None = None
    batch_size: int = 64
    backend: Literal["auto", "transformers", "vllm"] = "auto"


@dataclass(frozen=True, slots=True)
class Labels:
    """How samples become labels.

    Attributes:
        keep: Which of the correct samples is kept as the solution: the ``shortest``, the one of ``median`` length,
            or the ``first``. The label is the level of the kept one.
        minimum_correct: Correct samples a problem needs to be worth attempting; with fewer it is Level-3.
        largest_share: Largest share of one level among the labels; what is beyond is dropped, at random. 1 keeps all.
    """

    keep: Literal["shortest", "median", "first"] = "median"
    minimum_correct: int = 1
    largest_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters in place of full fine-tuning (peft); merged into the model at the end of a stage.

    Attributes:
        rank: Rank of the adapters.
        alpha: Scale; the adapters count alpha / rank.
        dropout: Dropout within the adapters.
        quantised: Keep the frozen base in 4 bits (QLoRA; needs bitsandbytes and CUDA).
    """

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.0
    quantised: bool = False


@dataclass(frozen=True, slots=True)
class Mft:
    """Meta-Cognitive Fine-Tuning.

    Attributes:
        singles: Examples with one problem, trained on first.
        exams: Examples with three problems under a shared budget, in mixed orders, trained on after them.
        solo: Examples with one problem, the solo prompt and no level, spread among the exams: without them the model
            forgets how to answer where nothing may be skipped, and its own solo profile understates its skill.
        orders: Shares of the orders among the exams, in whole numbers; orders come in turn.
        over_budget_kept: Share kept of the exams whose labelled solutions do not fit the budget together. What a
            knapsack over the known costs leaves out (most solved, then fewest tokens) is skipped there. With 0 MFT
            teaches forecasts and leaves allocation to RARL, which finds nothing to learn from if no response ever skips
            what it could solve; a small share is enough for that.
        equal_levels: Tiers in which each level is drawn as often as the others, so that a rare one (solved, among the
            hard) is learned as well; problems of the other tiers are drawn as they were labelled.
        learning_rate: Peak learning rate.
        batch_size: Examples of an optimizer step, over all processes.
        device_batch_size: Examples of one forward pass on one device.
        epochs: Passes over the examples.
        trainer: Further arguments of ``trl.SFTConfig``.
    """

    singles: int = 1000
    exams: int = 4000
    solo: int = 0
    orders: dict[str, int] = field(default_factory=lambda: {"easy": 1, "medium": 1, "hard": 1})
    over_budget_kept: float = 0.0
    equal_levels: tuple[Literal["easy", "middle", "hard"], ...] = ()
    learning_rate: float = 1e-5
    batch_size: int = 32
    device_batch_size: int = 32
    epochs: float = 1.0
    trainer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rarl:
    """Rationality-Aware RL.

    Attributes:
        steps: Optimizer steps.
        prompts: Exams of a step, over all processes; with mixed orders and budgets.
        generations: Responses to each exam: the group whose mean reward is the baseline.
        device_batch_size: Responses of one forward pass on one device.
        learning_rate: Learning rate.
        temperature: Sampling temperature.
        orders: Shares of the orders among the exams.
        curriculum: Budgets that come first, each with its share of the steps; the rest of the steps mixes all budgets.
        reward: What a response earns.
        evaluate_every: Steps between two evaluations on held-out exams; 0 for none.
        evaluation_exams: Held-out training exams of an evaluation; each is asked in two orders at each budget.
        patience: Evaluations without a better held-out score before training stops; 0 never stops.
        rollouts: ``transformers``, ``vllm`` (on the same GPUs) or ``vllm-server`` (``trl vllm-serve`` elsewhere).
        trainer: Further arguments of ``trl.GRPOConfig``.
    """

    steps: int = 200
    prompts: int = 8
    generations: int = 8
    device_batch_size: int = 64
    learning_rate: float = 1e-6
    temperature: float = 1.0
    orders: dict[str, float] = field(default_factory=lambda: {"easy": 1.0, "medium": 1.0, "hard": 1.0})
    curriculum: dict[int, float] = field(default_factory=dict)
    reward: Reward = field(default_factory=Reward)
    evaluate_every: int = 50
    evaluation_exams: int = 60
    patience: int = 0
    rollouts: Literal["transformers", "vllm", "vllm-server"] = "transformers"
    trainer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The tasks on which the stages are evaluated.

    Attributes:
        limit: Exams of each task; None for all 480.
        batch_size: Requests generated together.
        baselines: Ask the base and the MFT model with the baselines' prompts as well.
        samples: Solo samples a problem, for the profile; 0 leaves the solo tasks out.
        model_args: Further arguments of the model (``--model_args``).
        backend: lm_eval's model: ``hf`` or ``vllm``.
        pictures: Draw the pictures of the report.
    """

    limit: int | None = None
    batch_size: int = 64
    baselines: bool = True
    samples: int = 16
    model_args: dict[str, Any] = field(default_factory=dict)
    backend: Literal["hf", "vllm"] = "hf"
    pictures: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run.

    Attributes:
        name: Its name.
        model: Base model: a hub name, a folder, or ``tiny`` for the shipped one.
        family: Family of the exams: ``tiny``, or ``v1`` (GSM8K, MATH, AIME; the training pools).
        budgets: Budgets in tokens, the tightest first.
        seed: Seed of everything.
        dtype: Type of the weights while training.
        chat: Wrap prompts with the model's chat template.
        lora: Adapters, or None for full fine-tuning.
        sampling: Sampling of the base model.
        labels: Samples to labels.
        mft: First stage.
        rarl: Second stage.
        evaluation: The evaluation of the stages.
    """

    name: str
    model: str
    family: Family
    budgets: tuple[int, ...]
    seed: int = 0
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    chat: bool = False
    lora: Lora | None = None
    sampling: Sampling = field(default_factory=Sampling)
    labels: Labels = field(default_factory=Labels)
    mft: Mft = field(default_factory=Mft)
    rarl: Rarl = field(default_factory=Rarl)
    evaluation: Evaluation = field(default_factory=Evaluation)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """Return a recipe by name, or from a YAML file.

    Args:
        name: A name out of :func:`recipe_names`, or the path of a file.
        changes: Settings in place of the file's, each ``key=value`` with dots for nested ones (``mft.epochs=2``); the
            value is read as YAML.

    Raises:
        UsageError: No such recipe; not YAML; an unknown key, a wrong type, or an invalid value.
        DependencyError: A package of the ``train`` extra is missing.
    """
    import yaml

    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = recipe_names()
        raise UsageError(f"unknown recipe {name!r}; {nearest(name, known)} (or give the path of a .yaml file)")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UsageError(f"recipe {path} has no settings; see {RECIPES / 'tiny.yaml'} for one that does")
    for change in changes:
        apply_change(data, change)
    return parse_recipe(data, str(path))


def parse_recipe(data: Mapping[str, Any], where: str) -> Recipe:
    """Return the recipe that ``data`` describes; ``where`` names its source in messages.

    Raises:
        UsageError: An unknown key (with the nearest), a wrong type, or an invalid value.
        DependencyError: dacite is missing.
    """
    try:
        from dacite import Config, DaciteError, from_dict
    except ImportError as error:
        raise DependencyError(
            "training needs the package dacite; install it: pip install 'roi-bench[train]'"
        ) from error
    check_settings(Recipe, data, where)
    try:
        recipe = from_dict(Recipe, data, Config(cast=[tuple], check_types=True))
    except DaciteError as error:
        raise UsageError(f"recipe {where}: {error}") from error
    check_values(recipe, where)
    return recipe


def recipe_text(recipe: Recipe) -> str:
    """Return ``recipe`` as YAML with every setting spelled out; :func:`load_recipe` gives it back."""
    import yaml

    data = asdict(recipe)
    data["budgets"] = list(recipe.budgets)
    text: str = yaml.safe_dump(data, sort_keys=False)
    return text
