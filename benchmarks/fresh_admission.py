"""Which kinds of problems, at which sizes, stand in which tier of fresh exams: judged by what real models solve alone.

    python -m benchmarks.fresh_admission show [--problems 480]
    python -m benchmarks.fresh_admission ask MODEL_FOLDER --name NAME --out DIR [--stage pilot] [--dtype bfloat16]
        [--only KIND/NUMBER …]
    python -m benchmarks.fresh_admission table DIR [--stage pilot]

``show`` prints an example of every candidate with its worked solution, and how often its best constant guess is right.
``ask`` asks a model every problem alone with the solo prompt, greedily and with vLLM, the first problem of every
candidate before the second of any, and appends each answer to ``DIR/STAGE-NAME.jsonl``; started again it asks only what
is missing. ``table`` prints for each candidate the share solved and the median tokens by model, and the tier that it is
admitted to. The pilot (6 problems, cap 700) looks for candidates; the admission (40 others, cap 1,024) decides.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fresh_candidates.sizes import Candidate, candidates
from roi_bench.exams.exam import Problem
from roi_bench.grading.grader import Grader
from roi_bench.reading.responses import read_response
from roi_bench.scoring.prompts import exam_messages

STAGES = {"pilot": (6, 700), "admission": (40, 1024)}
"""Problems for each candidate, and their cap in tokens, by stage."""

JUDGE = "qwen15"
"""The model whose share and tokens decide: Qwen2.5-Coder-1.5B-Instruct."""

BEST_GUESS = 0.03
"""The best constant guess may be right in this share of a candidate's problems, over :data:`GUESSED` of them."""

GUESSED = 1440

AT_ONCE = 96


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model made of a candidate.

    Attributes:
        problems: Number of problems asked.
        solved: Share solved.
        tokens: Median tokens of all responses.
        tokens_right: Median tokens of the right ones, None without any.
        cut: Share of responses that end at the cap.
    """

    problems: int
    solved: float
    tokens: float
    tokens_right: float | None
    cut: float


def admitted_tier(judged: Answers, guess: float) -> str | None:
    """Return the tier that a candidate is admitted to, None for none.

    The rule was fixed before any admission run: *easy* is solved in at least 0.6 of cases at a median of at most 320
    tokens (of all responses); *middle* in 0.2 to 0.5 at 250 to 550; *hard* in at most 0.05 at 600 or more. The best
    constant guess is right in at most :data:`BEST_GUESS` of the problems.

    Args:
        judged: What :data:`JUDGE` made of it.
        guess: Share of problems for which the best constant guess is right.
    """
    if guess > BEST_GUESS:
        return None
    if judged.solved >= 0.6 and judged.tokens <= 320:
        return "easy"
    if 0.2 <= judged.solved <= 0.5 and 250 <= judged.tokens <= 550:
        return "middle"
    if judged.solved <= 0.05 and judged.tokens >= 600:
        return "hard"
    return None


def best_guess(candidate: Candidate, problems: int = GUESSED) -> tuple[str, float]:
    """Return the most frequent answer among the first problems, and its share."""
    answers = Counter(candidate.problem("guess", index).answer for index in range(problems))
    guess, count = answers.most_common(1)[0]
    return guess, count / problems


def show(options: argparse.Namespace) -> None:
    """Print an example of each candidate, and how often its best constant guess is right."""
    for candidate in candidates():
        guess, share = best_guess(candidate, options.problems)
        problem = candidate.problem("guess", 0)
        print(f"{candidate.name} ({candidate.kind.area}): best constant guess {guess}, right in {share:.3f}")
        print(f"{problem.question}\n{problem.solution}\n")


def ask(options: argparse.Namespace) -> None:
    """Ask a model what it was not asked yet."""
    from vllm import LLM, SamplingParams

    problems, cap = STAGES[options.stage]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{options.stage}-{options.name}.jsonl"
    known = {(line["candidate"], line["problem"]) for line in _lines(path)}
    chosen = [one for one in candidates() if not options.only or one.name in options.only]
    waiting = [(one, index) for index in range(problems) for one in chosen if (one.name, index) not in known]
    asked = [(one, index, one.problem(options.stage, index)) for one, index in waiting]
    llm = LLM(
        model=str(options.model), dtype=options.dtype, enforce_eager=True, max_model_len=2048, max_num_seqs=AT_ONCE
    )
    sampling = SamplingParams(temperature=0, max_tokens=cap)
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        prompts = [exam_messages([problem.question], cap, "solo") for _, _, problem in part]
        with path.open("a", encoding="utf-8") as file:
            for (one, index, problem), output in zip(part, llm.chat(prompts, sampling), strict=True):
                found = output.outputs[0]
                line = {"candidate": one.name, "problem": index, "question_sha256": problem.sha256, "cap": cap}
                file.write(json.dumps({**line, "response": found.text, "tokens": len(found.token_ids)}) + "\n")


def table(options: argparse.Namespace) -> None:
    """Print what came of each candidate by model, and its tier."""
    known = {one.name: one for one in candidates()}
    found: dict[str, dict[str, Answers]] = defaultdict(dict)
    with Grader() as grader:
        for path in sorted(options.out.glob(f"{options.stage}-*.jsonl")):
            by_candidate: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for line in _lines(path):
                by_candidate[line["candidate"]].append(line)
            for name in by_candidate.keys() & known.keys():
                pairs = [(known[name].problem(options.stage, line["problem"]), line) for line in by_candidate[name]]
                asked = [(problem, line) for problem, line in pairs if problem.sha256 == line["question_sha256"]]
                if asked:
                    found[name][path.stem.removeprefix(f"{options.stage}-")] = _judge(asked, grader)
    print("| candidate | area | best guess | model | n | solved | tokens, median | of the right | at the cap | tier |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in (one for one in known if one in found):
        guess, share = best_guess(known[name])
        for model, answers in sorted(found[name].items()):
            tier = (admitted_tier(answers, share) or "–") if model == JUDGE else ""
            right = "–" if answers.tokens_right is None else f"{answers.tokens_right:.0f}"
            cells = [name, known[name].kind.area, f"{guess}: {share:.3f}", model, answers.problems]
            cells += [f"{answers.solved:.2f}", f"{answers.tokens:.0f}", right, f"{answers.cut:.2f}", tier]
            print(f"| {' | '.join(map(str, cells))} |")


def _judge(asked: Sequence[tuple[Problem, dict[str, Any]]], grader: Grader) -> Answers:
    tokens = [line["tokens"] for _, line in asked]
    cut = [line["tokens"] == line["cap"] for _, line in asked]
    right = []
    for (problem, line), ended in zip(asked, cut, strict=True):
        answer = read_response(line["response"], 1, cut_off=ended).problems[0].answer
        right.append(
            answer is not None and grader.grade(problem.pool, answer, problem.answers, problem.question).correct
        )
    of_right = [count for count, correct in zip(tokens, right, strict=True) if correct]
    return Answers(
        len(asked), sum(right) / len(asked), median(tokens), median(of_right) if of_right else None, sum(cut) / len(cut)
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    showing, asking, printing = (commands.add_parser(name) for name in ("show", "ask", "table"))
    showing.add_argument("--problems", type=int, default=480)
    showing.set_defaults(run=show)
    asking.add_argument("model", type=Path)
    asking.add_argument("--name", required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--dtype", default="bfloat16")
    asking.add_argument("--only", nargs="+")
    asking.set_defaults(run=ask)
    printing.add_argument("out", type=Path)
    printing.set_defaults(run=table)
    for command in (asking, printing):
        command.add_argument("--stage", choices=list(STAGES), default="pilot")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
