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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roi_bench.exam_sets import training_exams
from roi_bench.exams import Exam
from roi_bench.grading import Grader
from roi_bench.outcomes import Response, read_problems
from roi_bench.problems import TIERS
from roi_bench.prompts import Prompt
from roi_bench.responses import Reading
from roi_bench.scoring import score_sheets
from roi_bench.tokens import Usage

SEED = 14
"""Seed of the training exams."""

BUDGET = 1024
LEAST_SOLVED = 15
DRAWS = 10_000

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


@dataclass(frozen=True, slots=True)
class AskedForm:
    """A form of the direct prompt; ``system`` is the text of a system turn, or empty."""

    prompt: Prompt
    system: str = ""


FORMS = {
    "before_cue": AskedForm(Prompt(f"{BEFORE}\n\n{{problems}}\n\n{CUE}", header=HEADER)),
    "before": AskedForm(Prompt(f"{BEFORE}\n\n{{problems}}", header=HEADER)),
    "before_plain": AskedForm(Prompt(f"{BEFORE}\n\n{{problems}}", header=PLAIN_HEADER)),
    "after": AskedForm(Prompt(f"{{problems}}\n\n{AFTER}", header=HEADER)),
    "after_plain": AskedForm(Prompt(f"{{problems}}\n\n{AFTER}", header=PLAIN_HEADER)),
    "after_skeleton": AskedForm(Prompt(f"{{problems}}\n\n{AFTER}\n{SKELETON}", header=PLAIN_HEADER)),
    "after_example": AskedForm(Prompt(f"{{problems}}\n\n{AFTER}\n{EXAMPLE}", header=PLAIN_HEADER)),
    "system": AskedForm(Prompt("{problems}", header=PLAIN_HEADER), f"{BEFORE}\n{SKELETON}"),
}
"""Forms of the direct prompt: where the instructions stand, how problems are labelled, skeleton, example, cue line,
system turn. ``before_cue`` is the direct prompt of version 1."""

SOLO = {
    "solo_before": Prompt(
        "Answer the problem below in a response of at most {budget} tokens. "
        "Everything you write counts, and the response is cut off at the limit.\n"
        'Write the header line "### Problem k" with its number k, then your work, then the final answer as '
        f"\\boxed{{{{answer}}}}.\n\n{{problems}}\n\n{CUE}",
        "solo",
    ),
    "solo_after": Prompt(
        "{problems}\n\nSolve this problem in a response of at most {budget} tokens, and end with the final answer as "
        "\\boxed{{answer}}.",
        "solo",
        "Problem:",
    ),
}
"""Prompts for one problem alone; ``solo_before`` is that of version 1."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its key in the file of responses, and what is asked."""

    key: tuple[str, str, int]  # form, exam id, tier (-1: all three)
    system: str
    user: str


def requests_of(exams: Sequence[Exam], forms: Sequence[str], block: int = 10) -> Iterator[Request]:
    """Yield solo requests and then every form, ``block`` exams at a time, so that a part is balanced over forms."""
    for start in range(0, len(exams), block):
        part = exams[start : start + block]
        for name, prompt in SOLO.items():
            for exam in part:
                for tier, problem in enumerate(exam.problems):
                    yield Request((name, exam.id, tier), "", prompt.render([problem.question], BUDGET))
        for name in forms:
            form = FORMS[name]
            for exam in part:
                questions = [problem.question for problem in exam.ordered("easy")]
                system = form.system.format(budget=BUDGET)
                yield Request((name, exam.id, -1), system, form.prompt.render(questions, BUDGET))


def read_lines(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
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

    exams = training_exams(SEED, 60)[: arguments.exams]
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
        text = f"{request.system}\n\n{request.user}" if request.system else request.user
        return list(tokenizer(text)["input_ids"])
    turns = [{"role": "system", "content": request.system}] if request.system else []
    turns.append({"role": "user", "content": request.user})
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


# ------------------------------------------------------------------------------------------------ counting


def follows_form(text: str, reading: Reading, finished: bool) -> bool:
    """Return whether a response follows the form: canonical headers from 1 on, each problem left with a box.

    The problem in which the budget ended the response needs no box; a finished response has all three.
    """
    reached = [segment for segment in reading.segments if segment.end > segment.start]
    if [segment.position for segment in reached] != list(range(1, len(reached) + 1)) or not reached:
        return False
    if finished and len(reached) < len(reading.segments):
        return False
    needed = reached if finished else reached[:-1]
    headed = all(text[s.start : s.end].lstrip().lower().startswith(f"### problem {s.position}") for s in reached)
    return headed and all(segment.answered_by == "box" for segment in needed)


def together(entries: dict[tuple[str, str, int], dict[str, Any]], exams: Sequence[Exam], form: str, grader: Grader):
    """Return ``(right, followed, prompt tokens, tokens, skipped, outcomes)`` by exam id of the exams asked in ``form``."""
    rows = [(exam, entries[form, exam.id, -1]) for exam in exams if (form, exam.id, -1) in entries]
    sheets = [read_problems(exam.ordered("easy"), exam.tiers("easy"), BUDGET, _response(entry)) for exam, entry in rows]
    found = {}
    for (exam, entry), sheet, scored in zip(rows, sheets, score_sheets(sheets, grader), strict=True):
        outcomes = [outcome.outcome for outcome in scored.outcomes]
        followed = follows_form(entry["response"], sheet.reading, entry["finish"] == "stop")
        found[exam.id] = (outcomes, followed, entry["prompt_tokens"], entry["tokens"])
    return found


def alone(entries: dict[tuple[str, str, int], dict[str, Any]], exams: Sequence[Exam], name: str, grader: Grader):
    """Return ``([right by tier], [tokens by tier])`` by exam id of the exams whose problems were all asked alone."""
    whole = [exam for exam in exams if all((name, exam.id, tier) in entries for tier in range(3))]
    sheets = [
        read_problems((problem,), (tier,), BUDGET, _response(entries[name, exam.id, index]))
        for exam in whole
        for index, (tier, problem) in enumerate(zip(TIERS, exam.problems, strict=True))
    ]
    scored = iter(score_sheets(sheets, grader))
    found = {}
    for exam in whole:
        right = [next(scored).outcomes[0].outcome == "correct" for _ in range(3)]
        found[exam.id] = (right, [entries[name, exam.id, tier]["tokens"] for tier in range(3)])
    return found


def _response(entry: dict[str, Any]) -> Response:
    return Response(entry["response"], Usage(entry["tokens"], entry["finish"], "generated"))


def paid(right: Sequence[bool], tokens: Sequence[int]) -> int:
    """Return how many problems are right when they are paid in easy order out of the budget."""
    spent = solved = 0
    for is_right, cost in zip(right, tokens, strict=True):
        spent += cost
        if spent > BUDGET:
            break
        solved += is_right
    return solved


def table(arguments: argparse.Namespace) -> None:
    """Print the table of every model and the decision."""
    exams = training_exams(SEED, 60)
    ratios: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    shares: dict[str, dict[str, tuple[float, float]]] = {}
    with Grader() as grader:
        for path in sorted(arguments.out.glob("*.jsonl")):
            entries = read_lines(path)
            _show_model(path.stem, entries, exams, grader, ratios, shares)
    _decide(ratios, shares)


def _show_model(
    name: str,
    entries: dict[tuple[str, str, int], dict[str, Any]],
    exams: Sequence[Exam],
    grader: Grader,
    ratios: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]],
    shares: dict[str, dict[str, tuple[float, float]]],
) -> None:
    solo = {prompt: alone(entries, exams, prompt, grader) for prompt in SOLO}
    for prompt, found in solo.items():
        by_tier = [sum(right[tier] for right, _ in found.values()) for tier in range(3)]
        cost = [np.mean([tokens[tier] for _, tokens in found.values()]) if found else 0 for tier in range(3)]
        print(f"{name} {prompt}: {len(found)} exams, right {by_tier}, tokens {[round(c) for c in cost]}")
    best = max(solo, key=lambda prompt: sum(sum(right) for right, _ in solo[prompt].values()))
    solved = sum(sum(right) for right, _ in solo[best].values())
    base = {exam: paid(right, tokens) for exam, (right, tokens) in solo[best].items()}
    counts = solved >= LEAST_SOLVED
    print(f"{name}: {best}, {solved} right alone, {sum(base.values())} paid{'' if counts else '; does not count'}")
    for form in FORMS:
        found = together(entries, exams, form, grader)
        ids = [exam.id for exam in exams if exam.id in found and exam.id in base]
        if not ids:
            continue
        right = np.array([found[i][0].count("correct") for i in ids])
        denominator = np.array([base[i] for i in ids])
        followed = float(np.mean([found[i][1] for i in ids]))
        prompt_tokens = float(np.mean([found[i][2] for i in ids]))
        outcomes = {
            o: sum(found[i][0].count(o) for i in ids)
            for o in ("correct", "wrong", "skipped", "truncated", "unanswered", "empty")
        }
        short = float(np.mean([found[i][3] < 40 for i in ids]))
        tokens = float(np.mean([found[i][3] for i in ids]))
        retention = right.sum() / max(1, denominator.sum())
        print(
            f"  {form:15s} n {len(ids):3d} retention {retention:.3f} followed {followed:.3f} prompt {prompt_tokens:.0f} tokens {tokens:.0f} under 40: {short:.2f} {outcomes}"
        )
        if counts:
            full = np.zeros((2, len(exams)))
            places = {exam.id: place for place, exam in enumerate(exams)}
            for i, r, d in zip(ids, right, denominator, strict=True):
                full[:, places[i]] = (r, d)
            ratios.setdefault(form, {})[name] = (full[0], full[1])
            shares.setdefault(form, {})[name] = (followed, prompt_tokens)


def _decide(
    ratios: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]], shares: dict[str, dict[str, tuple[float, float]]]
) -> None:
    """Print the mean retention of every form with its paired interval to the best, and the winner."""
    rng = np.random.default_rng(0)
    size = len(next(iter(next(iter(ratios.values())).values()))[0])
    weights = rng.multinomial(size, np.full(size, 1 / size), size=DRAWS)

    def mean_retention(form: str, weighted: np.ndarray) -> np.ndarray:
        values = [weighted @ right / np.maximum(1e-9, weighted @ base) for right, base in ratios[form].values()]
        return np.mean(values, axis=0)

    point = {form: float(mean_retention(form, np.ones((1, size)))[0]) for form in ratios}
    best = max(point, key=lambda form: point[form])
    drawn = {form: mean_retention(form, weights) for form in ratios}
    tied = []
    for form in sorted(point, key=lambda form: -point[form]):
        low, high = np.percentile(drawn[form] - drawn[best], [2.5, 97.5])
        if form == best or high >= 0:
            tied.append(form)
        own = np.percentile(drawn[form], [2.5, 97.5])
        print(
            f"{form:15s} {point[form]:.3f} [{own[0]:.3f}, {own[1]:.3f}]; to {best} {point[form] - point[best]:+.3f} [{low:+.3f}, {high:+.3f}]"
        )
    followed = {form: float(np.mean([share for share, _ in shares[form].values()])) for form in tied}
    most = max(followed.values())
    finalists = [form for form in tied if most - followed[form] < 0.02]
    winner = min(finalists, key=lambda form: float(np.mean([tokens for _, tokens in shares[form].values()])))
    print(f"tied: {tied}; followed: { {form: round(share, 3) for form, share in followed.items()} }; winner: {winner}")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("generate")
    asking.add_argument("model")
    asking.add_argument("--name", required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--exams", type=int, default=60)
    asking.add_argument("--forms", nargs="+", choices=list(FORMS), default=list(FORMS))
    asking.add_argument("--dtype", default="bfloat16")
    asking.add_argument("--sequences", type=int, default=48)
    asking.set_defaults(run=generate)
    counting = commands.add_parser("table")
    counting.add_argument("out", type=Path)
    counting.set_defaults(run=table)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
