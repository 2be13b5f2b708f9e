"""Recipes: every setting of a training run in one YAML file, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import ORDERS
from roi_bench.machine import data_folder
from roi_bench.rewards import Reward
from roi_bench.training.plan.rules import apply_change, build_settings, check_values

# Recipes: every setting of a training run in one YAML file, checked before anything is loaded.
#
# A recipe names the model, the family of problems, and the settings of each stage; what it leaves out has the default
# that the dataclasses below document. The mappings ``trainer`` go to TRL's own configuration class (``SFTConfig``,
# ``GRPOConfig``) as they stand, except for what the method fixes.

RECIPES = data_folder("reference_training/recipes")
"""Folder of the recipes that come with the package; each is known by its name."""

Family = Literal["tiny", "v1", "fresh"]


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
class OrderShares:
    """Shares of the orders among exams: an order that is not named keeps its 1, one with 0 is left out."""

    easy: float = 1.0
    medium: float = 1.0
    hard: float = 1.0

    def __getitem__(self, order: str) -> float:
        share: float = getattr(self, order)
        return share

    def text(self) -> str:
        """Return the shares in percent, for people."""
        total = sum(self[order] for order in ORDERS)
        return ", ".join(f"{order} {self[order] / total:.0%}" for order in ORDERS)


@dataclass(frozen=True, slots=True)
class MftOrderShares(OrderShares):
    """Shares of the orders among the exams of MFT: 1 : 4 : 1 where none is named.

    Medium order has four permutations in MFT (:data:`~roi_bench.training.mft.labels.INTERLEAVED`), so that with these
    shares each of the six permutations comes equally often.
    """

    medium: float = 4.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the base model is sampled for labels.

    Attributes:
        problems: Training problems by tier; a pool with fewer gives all it has.
        samples: Solutions K sampled for each problem.
        temperature: Sampling temperature.
        cap: Most tokens of a solution; None for the upper bound of Level-2.
        batch_size: Prompts generated together (transformers only).
        backend: ``auto`` takes vLLM where it is installed and a CUDA GPU is there, else transformers. With ``api`` a
            teacher behind an API writes the solutions in place of the base model, whose tokenizer still counts them.
        model_args: The teacher's arguments, those of ``roi-bench run --model roi-api`` (``{model: …, max_usd: 5}``).
    """

    problems: TierCounts = field(default_factory=lambda: TierCounts(1000, 1000, 1000))
    samples: int = 4
    temperature: float = 0.7
    cap: int | None = None
    batch_size: int = 64
    backend: Literal["auto", "transformers", "vllm", "api"] = "auto"
    model_args: dict[str, Any] = field(default_factory=dict)


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
    """Low-rank adapters in place of full fine-tuning (peft); merged in float32 into the model at the end of a stage.

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
        orders: Shares of the orders among the exams, in whole numbers; orders come in turn, and so do the permutations
            of medium order.
        over_budget_kept: Share kept of the exams whose labelled solutions do not fit the budget together. What a
            knapsack over the known costs leaves out (most solved, then fewest tokens) is skipped there. With 0 MFT
            teaches forecasts and leaves allocation to RARL, which finds nothing to learn from if no response ever skips
            what it could solve; a small share is enough for that. With 1 MFT teaches the allocation itself.
        equal_levels: Tiers in which each level is drawn as often as the others, so that a rare one (solved, among the
            hard) is learned as well; problems of the other tiers are drawn as they were labelled.
        learning_rate: Peak learning rate; None for 1e-5, or 1e-4 with adapters (see :data:`ADAPTER_RATES`).
        batch_size: Examples of an optimizer step, over all processes.
        device_batch_size: Examples of one forward pass on one device.
        epochs: Passes over the examples.
        trainer: Further arguments of ``trl.SFTConfig``.
    """

    singles: int = 1000
    exams: int = 4000
    solo: int = 0
    orders: MftOrderShares = field(default_factory=MftOrderShares)
    over_budget_kept: float = 0.0
    equal_levels: tuple[Literal["easy", "middle", "hard"], ...] = ()
    learning_rate: float | None = None
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
        learning_rate: Learning rate; None for 1e-6, or 1e-5 with adapters.
        temperature: Sampling temperature.
        orders: Shares of the orders among the exams.
        curriculum: Budgets that come first, each with its share of the steps; the rest of the steps mixes all budgets.
        reward: What a response earns.
        evaluate_every: Steps between two evaluations on held-out exams; 0 for none.
        evaluation_exams: Held-out training exams of an evaluation; each is asked in every order at each budget.
        patience: Evaluations without a better held-out score before training stops; 0 never stops.
        rollouts: ``transformers``, ``vllm`` (on the same GPUs) or ``vllm-server`` (``trl vllm-serve`` elsewhere).
        trainer: Further arguments of ``trl.GRPOConfig``.
    """

    steps: int = 200
    prompts: int = 8
    generations: int = 8
    device_batch_size: int = 64
    learning_rate: float | None = None
    temperature: float = 1.0
    orders: OrderShares = field(default_factory=OrderShares)
    curriculum: dict[int, float] = field(default_factory=dict)
    reward: Reward = field(default_factory=Reward)
    evaluate_every: int = 50
    evaluation_exams: int = 60
    patience: int = 0
    rollouts: Literal["transformers", "vllm", "vllm-server"] = "transformers"
    trainer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vllm:
    """How vLLM runs wherever a stage uses it: sampling, RARL's rollouts on the same GPUs, and the evaluation.

    Attributes:
        gpu_memory_utilization: Share of a GPU's memory where it has the GPU for itself; None for vLLM's own.
        beside_training: The same where it stands beside the trainer (``rarl.rollouts: vllm``).
        tensor_parallel_size: GPUs that a model is split over.
    """

    gpu_memory_utilization: float | None = None
    beside_training: float = 0.3
    tensor_parallel_size: int = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The tasks on which the stages are evaluated.

    Attributes:
        limit: Exams of each task; None for all 480.
        batch_size: Requests generated together; ``auto`` leaves it to the engine, of which vLLM then gets all at once.
        baselines: Ask the base and the MFT model with the baselines' prompts as well.
        samples: Solo samples a problem, for the profile; 0 leaves the solo tasks out.
        model_args: Further arguments of the model (``--model_args``).
        backend: lm_eval's model: ``hf`` or ``vllm``.
        pictures: Draw the pictures of the report.
    """

    limit: int | None = None
    batch_size: int | Literal["auto"] = 64
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
        family: Family of the exams: ``tiny``, ``v1`` (GSM8K, MATH, AIME; the training pools), or ``fresh`` (generated,
            without end, evaluated on the fresh exams of seed 0).
        budgets: Budgets in tokens, the tightest first.
        seed: Seed of everything.
        dtype: Type of the weights while training.
        chat: Wrap prompts with the model's chat template.
        chat_template_kwargs: Arguments of that template, in every stage and the evaluation
            (``{enable_thinking: false}``).
        system_prompt: Text that comes before the prompts' own instructions, in every stage and the evaluation.
        attn_implementation: Attention of transformers, wherever it computes; vLLM has its own. None for its default.
        context: Tokens that a prompt and its response may have together, wherever a model is loaded; None for what the
            model holds.
        vllm: How vLLM runs.
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
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None
    attn_implementation: str | None = None
    context: int | None = None
    lora: Lora | None = None
    sampling: Sampling = field(default_factory=Sampling)
    labels: Labels = field(default_factory=Labels)
    mft: Mft = field(default_factory=Mft)
    rarl: Rarl = field(default_factory=Rarl)
    evaluation: Evaluation = field(default_factory=Evaluation)
    vllm: Vllm = field(default_factory=Vllm)

    def rate(self, stage: Literal["mft", "rarl"]) -> float:
        """Return the learning rate of a stage."""
        own = (self.mft if stage == "mft" else self.rarl).learning_rate
        return (FULL_RATES if self.lora is None else ADAPTER_RATES)[stage] if own is None else own


FULL_RATES = {"mft": 1e-5, "rarl": 1e-6}
"""Learning rates of full training where a recipe names none."""

ADAPTER_RATES = {"mft": 1e-4, "rarl": 1e-5}
"""The same of adapters, whose best rate is some ten times larger (Schulman et al. 2025, "LoRA Without Regret")."""


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
    """
    recipe: Recipe = build_settings(Recipe, data, where)
    check_values(recipe, where)
    return recipe


ASKED = ("model", "family", "chat", "chat_template_kwargs", "system_prompt")
"""Settings that decide which prompts a model sees."""

_EXAMPLES = ("singles", "exams", "solo", "orders", "over_budget_kept", "equal_levels", "batch_size")
_TRAINING = ("learning_rate", "batch_size", "epochs", "trainer")

DEPENDS_ON = {
    "data": (*ASKED, "budgets", "seed", "dtype", "sampling", "labels", *(f"mft.{name}" for name in _EXAMPLES)),
    "mft": (*ASKED, "seed", "dtype", "lora", *(f"mft.{name}" for name in _TRAINING)),
    "rarl": (*(name for name in ASKED if name != "model"), "budgets", "seed", "dtype", "lora", "rarl"),
}
"""The settings that decide the outcome of each stage, besides what the stage before it left."""

LOWERED = ("sampling.batch_size", "rarl.device_batch_size")
"""Settings that are lowered where memory runs out, and change no outcome."""


def stage_settings(recipe: Recipe, stage: str) -> dict[str, Any]:
    """Return the settings that the outcome of ``data``, ``mft`` or ``rarl`` depends on, by dotted key, plain data."""

    def flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict) and value:
            for name, item in value.items():
                yield from flat(item, f"{key}.{name}" if key else str(name))
        else:
            yield key, list(value) if isinstance(value, tuple) else value

    wanted = DEPENDS_ON[stage]
    rates = {f"{name}.learning_rate": recipe.rate(name) for name in ("mft", "rarl")}
    return {
        key: rates.get(key, value)
        for key, value in flat(asdict(recipe), "")
        if key not in LOWERED and any(key == name or key.startswith(f"{name}.") for name in wanted)
    }


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return the settings by which two trainings of a stage differ, each as text for people.

    A mapping without keys is as good as none: a release that did not know it recorded nothing.
    """
    return [
        f"{key} is {known.get(key, 'not set')!r} there, {asked.get(key, 'not set')!r} asked"
        for key in sorted({*known, *asked})
        if known.get(key) != asked.get(key) and [known.get(key), asked.get(key)] not in ([{}, None], [None, {}])
    ]


def recipe_of_text(text: str, where: str) -> Recipe:
    """Return the recipe that :func:`recipe_text` wrote; ``where`` names its source in messages.

    Raises:
        UsageError: It is not one that this version can read.
    """
    import yaml

    return parse_recipe(yaml.safe_load(text), where)


def recipe_text(recipe: Recipe) -> str:
    """Return ``recipe`` as YAML with every setting spelled out; :func:`load_recipe` gives it back."""
    import yaml

    data = asdict(recipe)
    data["budgets"] = list(recipe.budgets)
    text: str = yaml.safe_dump(data, sort_keys=False)
    return text
