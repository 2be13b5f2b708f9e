r"""Which direct prompt? Forms of it compared on training exams with real models (docs/prompts.md).

    python benchmarks/prompt_study.py generate MODEL_FOLDER --name NAME --out DIR [--exams 60]
    python benchmarks/prompt_study.py table DIR

``generate`` asks a model of a local folder, greedily and with vLLM, every form in easy order at 1024 tokens and every
problem alone with two solo prompts, and appends each response to ``DIR/NAME.jsonl`` when it is finished; started again
it asks only what is missing. ``table`` needs no model: it reads, grades and counts the responses.

Criterion, fixed before any response was looked at:

- *retention* of a form = problems right together (easy order, budget 1024) ÷ problems right when each is asked alone
  and they are paid in the same order out of the same 1024 tokens. Alone they are asked once a model, with the solo
  prompt under which the model has more problems right; all forms share this denominator.
- Models that have fewer than 15 problems right alone are shown and do not count.
- The form with the greatest mean retention over the models wins. Forms whose paired 95 % interval of the difference
  to it includes 0 (bootstrap over exams, 10,000 draws, seed 0) are tied with it. Ties are decided by the mean share of
  responses that follow the form, and where these differ by less than 0.02, by the fewest prompt tokens.

Exams are training exams (``train/14/000`` …); no evaluation exam is asked here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roi_bench.errors import RoiBenchError
from roi_bench.exams.exam import TIERS, Exam
from roi_bench.exams.sets import training_exams
from roi_bench.grading.grader import Grader
from roi_bench.harness.sending import rendered
from roi_bench.reading.responses import Reading
from roi_bench.scoring.kinds import parse_exam_response, score_responses
from roi_bench.scoring.outcomes import Response, parse_response
from roi_bench.scoring.prompts import Message, Prompt
from roi_bench.scoring.tokens import Usage

SEED = 14
"""Seed of the training exams."""

EXAMS = 60
BUDGET = 1024
LEAST_SOLVED = 15
DRAWS = 10_000
FOLLOWED_MARGIN = 0.02
SHOWN = ("correct", "wrong", "skipped", "truncated", "unanswered", "empty")
"""Outcomes shown by model and form, in problems."""

Entries = dict[tuple[str, str, int], dict[str, Any]]
"""Recorded responses by (form, exam id, tier; -1 for all three)."""

HEADER, PLAIN_HEADER = "### Problem {k}", "Problem {k}."
CUE = "Response:\n"
RULES = (
    "Everything you write counts, and the response is cut off at the limit.\n"
    'Take the problems in the given order. For each, write the header line "### Problem k" with its number k, '
    "then your work, then the final answer as \\boxed{{answer}}. You cannot go back to an earlier problem.\n"
    "Each correct answer is worth one point; a wrong, missing or cut-off answer is worth nothing. "
    "If a problem is not worth its tokens, skip it: write its header line and \\boxed{{NA}}."
)
BEFORE = "Answer the three problems below in one response of at most {budget} tokens. " + RULES
AFTER = "Answer the three problems above in one response of at most {budget} tokens. " + RULES
SKELETON = (
    "Write the response in this form:\n\n"
    "### Problem 1\nyour work\n\\boxed{{answer}}\n\n"
    "### Problem 2\nyour work\n\\boxed{{answer}}\n\n"
    "### Problem 3\nyour work\n\\boxed{{answer}}"
)
EXAMPLE = (
    "A response to three other problems, in which the second one is skipped:\n\n"
    "### Problem 1\nThe three boxes hold 4 pens each, so there are 3 · 4 = 12 pens.\n\\boxed{{12}}\n\n"
    "### Problem 2\n\\boxed{{NA}}\n\n"
    "### Problem 3\nFrom 2x + 1 = 7 follows 2x = 6, so x = 3.\n\\boxed{{3}}"
)


FORMS = {
    "before_cue": Prompt(f"{BEFORE}\n\n{{problems}}\n\n{CUE}", header=HEADER),
    "before": Prompt(f"{BEFORE}\n\n{{problems}}", header=HEADER),
    "before_plain": Prompt(f"{BEFORE}\n\n{{problems}}", header=PLAIN_HEADER),
    "after": Prompt(f"{{problems}}\n\n{AFTER}", header=HEADER),
    "after_plain": Prompt(f"{{problems}}\n\n{AFTER}", header=PLAIN_HEADER),
    "after_skeleton": Prompt(f"{{problems}}\n\n{AFTER}\n{SKELETON}", header=PLAIN_HEADER),
    "after_example": Prompt(f"{{problems}}\n\n{AFTER}\n{EXAMPLE}", header=PLAIN_HEADER),
    "system": Prompt("{problems}", f"{BEFORE}\n{SKELETON}", header=PLAIN_HEADER),
}
"""Forms of the direct prompt: where the instructions stand, how problems are labelled, skeleton, example, cue line,
system turn. ``before_cue`` is the direct prompt of version 1, ``system`` that of version 2."""

SOLO = {
    "solo_before": Prompt(
        "Answer the problem below in a response of at most {budget} tokens. "
        "Everything you write counts, and the response is cut off at the limit.\n"
        'Write the header line "### Problem k" with its number k, then your work, then the final answer as '
        f"\\boxed{{{{answer}}}}.\n\n{{problems}}\n\n{CUE}",
        kind="solo",
        header=HEADER,
    ),
    "solo_after": Prompt(
        "{problems}\n\nSolve this problem in a response of at most {budget} tokens, and end with the final answer as "
        "\\boxed{{answer}}.",
        kind="solo",
        header="Problem:",
    ),
}
"""Prompts for one problem alone; ``solo_before`` is that of version 1, ``solo_after`` that of version 2."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its key in the file of responses, and what is asked."""

    key: tuple[str, str, int]  # form, exam id, tier (-1: all three)
    messages: list[Message]


def requests_of(exams: Sequence[Exam], forms: Sequence[str], block: int = 10) -> Iterator[Request]:
    """Yield solo requests and then every form, ``block`` exams at a time, so that a part is balanced over forms."""
    for start in range(0, len(exams), block):
        part = exams[start : start + block]
        for name, prompt in SOLO.items():
            for exam in part:
                for tier, problem in enumerate(exam.problems):
                    yield Request((name, exam.id, tier), prompt.render([problem.question], BUDGET))
        for name in forms:
            for exam in part:
                questions = [problem.question for problem in exam.ordered("easy")]
                yield Request((name, exam.id, -1), FORMS[name].render(questions, BUDGET))


def read_lines(path: Path) -> Entries:
    """Return the recorded responses of a model by key; a last line cut off by a kill is left out."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text("utf-8").split("\n"):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[entry["form"], entry["exam"], entry["tier"]] = entry
    return found


def generate(arguments: argparse.Namespace) -> None:
    """Ask a model what is missing, each response on disk when it is finished."""
    from vllm import LLM, SamplingParams

    exams = training_exams(SEED, EXAMS)[: arguments.exams]
    path = arguments.out / f"{arguments.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = read_lines(path)
    missing = [request for request in requests_of(exams, arguments.forms) if request.key not in done]
    print(f"{path}: {len(done)} responses there, {len(missing)} to ask", flush=True)
    if not missing:
        return
    engine = LLM(
        model=arguments.model,
        dtype=arguments.dtype,
        enforce_eager=True,
        max_model_len=2560,
        max_num_seqs=arguments.sequences,
        generation_config="vllm",
    )
    tokenizer = engine.get_tokenizer()
    sampling = SamplingParams(temperature=0.0, max_tokens=BUDGET)
    chat = getattr(tokenizer, "chat_template", None) is not None
    began, tokens, core = time.monotonic(), 0, engine.llm_engine
    waiting, count = list(reversed(missing)), 0
    with path.open("a", encoding="utf-8") as file:
        while waiting or core.has_unfinished_requests():
            while waiting and core.get_num_unfinished_requests() < 2 * arguments.sequences:
                request = waiting.pop()
                core.add_request(
                    json.dumps(request.key), {"prompt_token_ids": _ids(tokenizer, request, chat)}, sampling
                )
            for output in core.step():
                if not output.finished:
                    continue
                form, exam, tier = json.loads(output.request_id)
                answer = output.outputs[0]
                line = {"form": form, "exam": exam, "tier": tier, "response": answer.text}
                line |= {"tokens": len(answer.token_ids), "finish": answer.finish_reason}
                line |= {"prompt_tokens": len(output.prompt_token_ids)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                tokens, count = tokens + len(answer.token_ids), count + 1
                rate = tokens / (time.monotonic() - began)
                print(f"{count}/{len(missing)} {rate:.0f} tokens/s {form}", file=sys.stderr, flush=True)


def _ids(tokenizer: Any, request: Request, chat: bool) -> list[int]:
    if not chat:
        text = "\n\n".join(message["content"] for message in request.messages)
        return list(tokenizer(text)["input_ids"])
    template = partial(tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True)
    text = rendered(request.messages, template)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


# ------------------------------------------------------------------------------------------------ counting


@dataclass(frozen=True, slots=True)
class Together:
    """A response to one exam: its outcomes by position, whether it follows the form, tokens of prompt and response."""

    outcomes: tuple[str, ...]
    followed: bool
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Alone:
    """The problems of one exam, each asked alone: which are right, and the tokens of each response, in easy order."""

    right: tuple[bool, ...]
    tokens: tuple[int, ...]

    @property
    def paid(self) -> int:
        """How many are right when they are paid in easy order out of the budget."""
        spent = solved = 0
        for is_right, cost in zip(self.right, self.tokens, strict=True):
            spent += cost
            if spent > BUDGET:
                break
            solved += is_right
        return solved


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """What one model did, by form or solo prompt and exam id."""

    name: str
    together: dict[str, dict[str, Together]]
    alone: dict[str, dict[str, Alone]]  # of exams all of whose problems were asked
    right_alone: dict[str, int]  # problems right alone, those of the other exams among them

    @property
    def solo(self) -> str:
        """The solo prompt under which the model has more problems right."""
        return max(self.right_alone, key=lambda prompt: self.right_alone[prompt])

    @property
    def is_counted(self) -> bool:
        """Whether the model has enough problems right alone."""
        return self.right_alone[self.solo] >= LEAST_SOLVED

    def exams(self, form: str) -> list[str]:
        """Exams asked in ``form`` whose problems were all asked alone."""
        return [exam for exam in self.together[form] if exam in self.alone[self.solo]]

    def right_and_paid(self, form: str) -> dict[str, tuple[int, int]]:
        """Problems right together and alone (paid), by exam id."""
        alone, together = self.alone[self.solo], self.together[form]
        return {exam: (together[exam].outcomes.count("correct"), alone[exam].paid) for exam in self.exams(form)}

    def mean(self, form: str, of: Callable[[Together], float]) -> float:
        """Mean of a number over the exams asked in ``form``."""
        return float(np.mean([of(self.together[form][exam]) for exam in self.exams(form)]))


def follows_form(text: str, reading: Reading, finished: bool) -> bool:
    """Return whether a response follows the form: canonical headers from 1 on, each problem left with a box.

    The problem in which the budget ended the response needs no box; a finished response has all three.
    """
    reached = [segment for segment in reading.problems if segment.end > segment.start]
    if not reached or [segment.position for segment in reached] != list(range(1, len(reached) + 1)):
        return False
    if finished and len(reached) < len(reading.problems):
        return False
    headed = all(text[s.start : s.end].lstrip().lower().startswith(f"### problem {s.position}") for s in reached)
    return headed and all(segment.answered_by == "box" for segment in (reached if finished else reached[:-1]))


def count_model(name: str, entries: Entries, exams: Sequence[Exam], grader: Grader) -> ModelCounts:
    """Read and grade the recorded responses of one model."""
    together = {form: found for form in FORMS if (found := _together(entries, exams, form, grader))}
    alone, right = {}, {}
    for prompt in SOLO:
        alone[prompt], right[prompt] = _alone(entries, exams, prompt, grader)
    return ModelCounts(name, together, alone, right)


def _together(entries: Entries, exams: Sequence[Exam], form: str, grader: Grader) -> dict[str, Together]:
    rows = [(exam, entries[form, exam.id, -1]) for exam in exams if (form, exam.id, -1) in entries]
    parsed = [parse_exam_response(exam, "easy", BUDGET, _response(entry)) for exam, entry in rows]
    found = {}
    for (exam, entry), one, scored in zip(rows, parsed, score_responses(parsed, grader), strict=True):
        followed = follows_form(entry["response"], one.reading, entry["finish"] == "stop")
        outcomes = tuple(outcome.outcome for outcome in scored.problems)
        found[exam.id] = Together(outcomes, followed, entry["prompt_tokens"], entry["tokens"])
    return found


def _alone(entries: Entries, exams: Sequence[Exam], name: str, grader: Grader) -> tuple[dict[str, Alone], int]:
    """Return the exams all of whose problems were asked alone, and how many problems of any exam are right."""
    asked = [(exam, tier) for exam in exams for tier in range(len(TIERS)) if (name, exam.id, tier) in entries]
    parsed = [
        parse_response((exam.problems[tier],), (TIERS[tier],), BUDGET, _response(entries[name, exam.id, tier]))
        for exam, tier in asked
    ]
    right = {
        (exam.id, tier): scored.problems[0].outcome == "correct"
        for (exam, tier), scored in zip(asked, score_responses(parsed, grader), strict=True)
    }
    keys = {exam.id: [(exam.id, tier) for tier in range(len(TIERS))] for exam in exams}
    whole = {
        exam: Alone(
            tuple(right[key] for key in of_exam), tuple(entries[name, exam, tier]["tokens"] for _, tier in of_exam)
        )
        for exam, of_exam in keys.items()
        if all(key in right for key in of_exam)
    }
    return whole, sum(right.values())


def _response(entry: dict[str, Any]) -> Response:
    return Response(entry["response"], Usage(entry["tokens"], entry["finish"], "generated"))


# ------------------------------------------------------------------------------------------------ deciding


@dataclass(frozen=True, slots=True)
class FormResult:
    """A form over all models that count: mean retention, its 95 % interval, and that of its difference to the best."""

    form: str
    retention: float
    interval: tuple[float, float]
    to_best: tuple[float, float]
    followed: float
    prompt_tokens: float


def decide(models: Sequence[ModelCounts], exams: Sequence[str]) -> tuple[list[FormResult], str]:
    """Return the forms by falling mean retention, and the winner by the criterion at the top of this file.

    Args:
        models: Models that count; only forms that all of them were asked in take part.
        exams: Ids of all exams of the study, which the bootstrap draws from.
    """
    forms = [form for form in FORMS if all(form in model.together for model in models)]
    weights = np.random.default_rng(0).multinomial(len(exams), np.full(len(exams), 1 / len(exams)), size=DRAWS)
    whole = np.ones((1, len(exams)), dtype=np.int64)

    def mean_retention(form: str, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        ratios = []
        for model in models:
            counts = model.right_and_paid(form)
            right, paid = np.array([counts.get(exam, (0, 0)) for exam in exams], dtype=np.float64).T
            ratios.append((weights @ right) / np.maximum(weights @ paid, 1e-9))
        return np.asarray(np.mean(ratios, axis=0))

    point = {form: float(mean_retention(form, whole)[0]) for form in forms}
    drawn = {form: mean_retention(form, weights) for form in forms}
    best = max(point, key=lambda form: point[form])
    results = [
        FormResult(
            form,
            point[form],
            _interval(drawn[form]),
            _interval(drawn[form] - drawn[best]),
            float(np.mean([model.mean(form, lambda one: one.followed) for model in models])),
            float(np.mean([model.mean(form, lambda one: one.prompt_tokens) for model in models])),
        )
        for form in sorted(forms, key=lambda form: -point[form])
    ]
    tied = [result for result in results if result.to_best[1] >= 0]
    most = max(result.followed for result in tied)
    finalists = [result for result in tied if most - result.followed < FOLLOWED_MARGIN]
    return results, min(finalists, key=lambda result: result.prompt_tokens).form


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def table(arguments: argparse.Namespace) -> None:
    """Print the counts of every model, the forms over all models that count, and the winner."""
    exams = training_exams(SEED, EXAMS)
    with Grader() as grader:
        models = [
            count_model(path.stem, read_lines(path), exams, grader) for path in sorted(arguments.out.glob("*.jsonl"))
        ]
    for model in models:
        _print_model(model)
    counted = [model for model in models if model.is_counted]
    if not counted:
        sys.exit(f"no model has {LEAST_SOLVED} problems right alone yet; nothing to decide")
    results, winner = decide(counted, [exam.id for exam in exams])
    print(f"\nMean over {', '.join(model.name for model in counted)}\n")
    print("| form | retention | 95 % | to the best | follows the form | prompt tokens |\n|---|---|---|---|---|---|")
    for r in results:
        own, to_best = (f"{low:+.2f} to {high:+.2f}" for low, high in (r.interval, r.to_best))
        print(f"| {r.form} | {r.retention:.2f} | {own} | {to_best} | {r.followed:.2f} | {r.prompt_tokens:.0f} |")
    print(f"\nwinner: {winner}")


def _print_model(model: ModelCounts) -> None:
    print(f"\n{model.name}" + ("" if model.is_counted else f" (fewer than {LEAST_SOLVED} right alone: does not count)"))
    for prompt, found in model.alone.items():
        right = [sum(one.right[tier] for one in found.values()) for tier in range(3)]
        tokens = [
            round(float(np.mean([one.tokens[tier] for one in found.values()]))) if found else 0 for tier in (0, 1, 2)
        ]
        paid = sum(one.paid for one in found.values())
        more = model.right_alone[prompt] - sum(right)
        others = f"; {more} right in exams not asked in full" if more else ""
        print(f"{prompt}: {len(found)} exams, right by tier {right}, paid {paid}, mean tokens by tier {tokens}{others}")
    heads = ["form", "exams", "right", "paid alone", "retention", "follows", "under 40 tokens", "tokens", *SHOWN]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for form, asked in model.together.items():
        counts = model.right_and_paid(form)
        if not counts:
            continue
        solved, alone = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
        cells = [form, str(len(counts)), str(solved), str(alone), f"{solved / max(1, alone):.2f}"]
        cells += [f"{model.mean(form, of):.2f}" for of in (lambda one: one.followed, lambda one: one.tokens < 40)]
        cells += [f"{model.mean(form, lambda one: one.tokens):.0f}"]
        cells += [str(sum(asked[exam].outcomes.count(name) for exam in counts)) for name in SHOWN]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("generate")
    asking.add_argument("model")
    asking.add_argument("--name", required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--exams", type=int, default=EXAMS)
    asking.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    asking.add_argument("--dtype", default="bfloat16")
    asking.add_argument("--sequences", type=int, default=48)
    asking.set_defaults(run=generate)
    counting = commands.add_parser("table")
    counting.add_argument("out", type=Path)
    counting.set_defaults(run=table)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except RoiBenchError as error:
        sys.exit(f"prompt_study: {error}")


if __name__ == "__main__":
    main()
