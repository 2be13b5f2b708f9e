"""Small real submissions, made by code: tiny exams answered from reference solutions, written as lm_eval writes them.

They are packed by the package itself. What a made model can do follows from its name and skill alone.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from roi_bench.exams.exam import EXAM_VERSIONS, Exam, Problem
from roi_bench.exams.sets import load_exams
from roi_bench.exams.tiny import model_path
from roi_bench.leaderboard.submission.metadata import load_results
from roi_bench.leaderboard.submission.pack import Correction, pack_submission
from roi_bench.leaderboard.submission.schema import Metadata, submission_id, task_name
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.results import Sending
from roi_bench.records.tokenizer import HFTokenCounter, load_token_counter
from roi_bench.scoring.kinds import solo_problems
from roi_bench.scoring.prompts import PROMPTS, prompt_sha256
from roi_bench.scoring.tokens import Usage

BARE = Sending("text")
TODAY = "2026-11-24"


@dataclass(frozen=True)
class MadeTask:
    """A task to be answered.

    ``skill``: probability that a problem is solved where it is attempted, by tier; ``attempts``: tiers that are
    attempted at all. A response that grows beyond the budget is cut there.
    """

    order: str | None = "hard"
    budget: int = 128
    prompt: str = "direct"
    skill: tuple[float, float, float] = (0.9, 0.8, 0.0)
    attempts: tuple[bool, bool, bool] = (True, True, False)
    repeats: int = 1
    exams: int = 480
    exam_set: str = "tiny"
    seed: int = 0
    temperature: float = 0.0
    usd: float | None = None
    paraphrase: int = 0
    sending: Sending = BARE
    text: Callable[[str, str], str] = field(default=lambda _id, text: text)

    @property
    def form(self) -> str:
        return PROMPTS[self.prompt].kind

    @property
    def name(self) -> str:
        return task_name(self.exam_set, self.seed, self.order, self.budget, self.prompt, self.paraphrase)


SOLO = MadeTask(order=None, prompt="solo", skill=(1.0, 0.9, 0.3), attempts=(True, True, True), repeats=2, budget=256)


@lru_cache(maxsize=1)
def tiny_counter() -> HFTokenCounter:
    return load_token_counter(str(model_path()))


def chance(*parts: object) -> float:
    """Return a number in [0, 1) that follows from ``parts``."""
    return int(sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12], 16) / 16**12


def _work(model: str, task: MadeTask, problem: Problem, tier: int, sample: int) -> str:
    """Return what a made model writes below a problem's header."""
    forecast = tier if task.attempts[tier] or task.form == "knapsack" else 3
    tagged = task.prompt in ("metacognitive", "greedy_knapsack")
    level = f"<predicted_level>Level-{forecast}</predicted_level>\n" if tagged else ""
    if not task.attempts[tier]:
        return level + "\\boxed{NA}"
    solution = str(problem.solution)
    if chance(model, problem.id, sample) >= task.skill[tier]:
        solution = solution.rpartition("\\boxed")[0] + "\\boxed{100}"
    return level + solution


def _response(
    model: str, task: MadeTask, exam_id: str, asked: Sequence[tuple[int, Problem]], sample: int
) -> tuple[str, Usage]:
    parts = [f"### Problem {k}\n{_work(model, task, p, tier, sample)}" for k, (tier, p) in enumerate(asked, start=1)]
    text, tokens = tiny_counter().cut(task.text(exam_id, "\n".join(parts)), task.budget)
    if tokens >= task.budget:
        return text, Usage(task.budget, "length", "generated")
    return text, Usage(tokens + 1, "stop", "generated")


def _requests(task: MadeTask, exam: Exam) -> list[list[tuple[int, Problem]]]:
    if task.form == "knapsack":
        return [[(tier, problem)] for tier, problem in enumerate(exam.problems)]
    orders = [exam.permutation(str(task.order)), exam.permutation("easy")]
    return [[(tier, exam.problems[tier]) for tier in order] for order in orders]


def _samples(model: str, task: MadeTask) -> list[dict[str, Any]]:
    exams = load_exams(task.exam_set, seed=task.seed)
    if task.form == "solo":
        tiers = {"easy": 0, "middle": 1, "hard": 2}
        asked = [
            ("problem", name, [[(tiers[tier], problem)]])
            for name, (tier, problem) in list(solo_problems(exams).items())[: 3 * task.exams]
        ]
    else:
        asked = [("exam_id", exam.id, _requests(task, exam)) for exam in exams[: task.exams]]
    lines = []
    for key, name, requests in asked:
        made = [[_response(model, task, name, one, k) for k in range(task.repeats)] for one in requests]
        line: dict[str, Any] = {
            "doc": {key: name},
            "resps": [[text for text, _ in samples] for samples in made],
            "usage": [[asdict(usage) for _, usage in samples] for samples in made],
        }
        if task.usd is not None:
            line["usd"] = [[task.usd * usage.tokens for _, usage in samples] for samples in made]
        lines.append(line)
    return lines


def _config(task: MadeTask, tokenizer: str | None) -> dict[str, Any]:
    record = {
        "roi_bench_version": "0.1.0",
        "form": task.form,
        "exam_set": task.exam_set,
        "exam_version": EXAM_VERSIONS[task.exam_set],
        "exam_seed": task.seed,
        "order": task.order,
        "budget": task.budget,
        "repeats": task.repeats,
        "prompt": task.prompt,
        "prompt_sha256": prompt_sha256(task.prompt, task.paraphrase),
        "paraphrase": task.paraphrase,
        "tokenizer": tokenizer,
        "tokenizer_revision": None,
        "text_is_whole": True,
        "reading_rule": READING_RULE,
        "starts_in_reasoning": False,
        "think_tags": [],
        **asdict(task.sending),
        "deviations": [
            *([f"paraphrase={task.paraphrase}"] if task.paraphrase else []),
            *(["system_instruction"] if task.sending.system_instruction_sha256 else []),
            *([f"temperature={task.temperature}"] if task.temperature and task.form != "solo" else []),
        ],
    }
    sampled = task.form == "solo"
    generation = {"until": [], "do_sample": sampled, "temperature": 0.7 if sampled else task.temperature}
    return {"generation_kwargs": {**generation, "max_gen_toks": task.budget}, "metadata": {"roi_bench": record}}


def write_results(
    folder: Path,
    tasks: Sequence[MadeTask] = (MadeTask(),),
    *,
    model: str = "made-up/model",
    tokenizer: str | None = "shipped",
    numbers: Mapping[str, Mapping[str, float]] | None = None,
) -> Path:
    """Write a results file and its samples as lm_eval does, and return the former; ``numbers``: those it records."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = "2026-11-24T10-00-00.000000"
    tokenizer = str(model_path()) if tokenizer == "shipped" else tokenizer
    results: dict[str, Any] = {
        "results": {},
        "configs": {},
        "n-samples": {},
        "config": {"model": "hf", "model_args": {"pretrained": model}, "model_num_parameters": 800448, "model_sha": ""},
        "model_name": model,
        "date": 1795514400.0,
        "lm_eval_version": "0.4.13",
        "transformers_version": "5.23.0",
        "pretty_env_info": "PyTorch version: 2.13.0+cpu\nIs debug build: False",
    }
    for task in tasks:
        lines = _samples(model, task)
        recorded = {f"{name},none": value for name, value in (numbers or {}).get(task.name, {}).items()}
        results["results"][task.name] = {"alias": task.name, **recorded}
        results["configs"][task.name] = _config(task, tokenizer)
        results["n-samples"][task.name] = {"original": 480, "effective": len(lines)}
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"samples_{task.name}_{stamp}.jsonl").write_text(text, encoding="utf-8")
    path = folder / f"results_{stamp}.json"
    path.write_text(json.dumps(results), encoding="utf-8")
    return path


def metadata(model: str = "made-up/model", **more: Any) -> Metadata:
    given = {"date": TODAY, "contamination": "None: it was made up.", "contact": "nobody@example.org", **more}
    return Metadata(model=model, **given)


def made_submission(
    out: Path,
    tasks: Sequence[MadeTask] = (MadeTask(),),
    *,
    model: str = "made-up/model",
    draft: bool | None = None,
    replaces: str | None = None,
    numbers: Mapping[str, Mapping[str, float]] | None = None,
    **more: Any,
) -> Path:
    """Return the folder of a submission below ``out``; a draft if some exams are left out. ``more``: metadata.

    Results are kept in ``out``'s neighbour ``<out>-results/<model>``, for regrading beside it.
    """
    results = write_results(
        out.with_name(f"{out.name}-results") / model.replace("/", "_"), tasks, model=model, numbers=numbers
    )
    return pack_submission(
        load_results([results]),
        out,
        metadata(model, **more),
        draft=any(task.exams < 480 for task in tasks) if draft is None else draft,
        correction=None if replaces is None else Correction(replaces, "A prompt was wrong."),
    )


def tampered(
    folder: Path,
    out: Path,
    *,
    rows: Callable[[list[dict[str, Any]]], object] | None = None,
    document: Callable[[dict[str, Any]], object] | None = None,
    task: int = 0,
    consistent: bool = True,
) -> Path:
    """Return a copy of a submission below ``out`` with something changed.

    ``rows`` changes the rows of the responses of a task, ``document`` the ``submission.json``. ``consistent``: the
    forger also corrects the hash and the number of rows, the id, and the folder's name.
    """
    content = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    entry = content["tasks"][task]
    if rows is not None:
        lines = [json.loads(line) for line in gzip.decompress(files[entry["file"]]).splitlines()]
        rows(lines)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        files[entry["file"]] = gzip.compress(text.encode("utf-8"), mtime=0)
        if consistent:
            entry |= {"sha256": sha256(files[entry["file"]]).hexdigest(), "documents": len(lines)}
            entry["lines_sha256"] = sha256(text.encode("utf-8")).hexdigest()
    if document is not None:
        document(content)
    if consistent:
        content["id"] = submission_id(content)
    return write_folder(out / folder.name if not consistent else out / content["id"], content, files)


def write_folder(folder: Path, content: Any, files: Mapping[str, bytes]) -> Path:
    """Write a folder of files with ``content`` as its ``submission.json``."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "submission.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
