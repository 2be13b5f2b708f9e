"""The output of a run: its identity, its files, and the table that it prints."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roi_bench import __version__
from roi_bench.errors import RecordError
from roi_bench.exams.exam import EXAM_VERSION, sha256_text
from roi_bench.harness.engines.metering import metered
from roi_bench.harness.engines.protocol import Engine
from roi_bench.reading.responses import READING_RULE
from roi_bench.records.journal import Header, canonical_json, parse_header
from roi_bench.records.results import NO_RESPONSE, PART
from roi_bench.scoring.metrics import NO_ANSWER
from roi_bench.scoring.prompts import PROMPT_VERSION
from roi_bench.scoring.statistics import FEWEST_CLUSTERS, FEWEST_EXAMS, Estimate, is_small
from roi_bench.scoring.tokens import Usage, is_over_budget, was_cut_short

# The identity of a run: only a run with the same one may continue its journal.

SECRETS = ("api_key", "auth_token", "hf_token", "token", "header")
"""Model arguments that are recorded as their hash."""

VERSIONS = {"reading_rule": READING_RULE, "prompt_version": PROMPT_VERSION}
"""What of a run changes with this package; a journal says it."""

SAMPLED_BYTES = 1 << 20
"""Of a large file, this much is hashed at its beginning, middle and end; any training step changes all three."""


def run_header(
    model: str, model_args: Mapping[str, Any], engine: Engine, seed: int | None, about: Mapping[str, Any]
) -> Header:
    """Return the journal header of a run.

    Responses depend on the model, its arguments, its weights and the seed; everything else (prompt, chat template,
    generation arguments) is part of each request's own key.

    Args:
        model: lm_eval's name of the backend.
        model_args: Its arguments.
        engine: The engine; if it states what shapes its responses (``identity``), that is used.
        seed: Seed of sampling.
        about: Facts for human readers, besides those of the engine.
    """
    identity, facts = engine.identity, dict(engine.facts)
    model_args = model_args if identity is None else identity
    run = {
        "model": model,
        "model_args": {name: _public(name, value) for name, value in sorted(model_args.items())},
        "model_files": model_files(model_args, engine.lm) if identity is None else {},
        "seed": seed,
        "exam_version": EXAM_VERSION,
        **VERSIONS,
    }
    return Header(
        run, {"roi_bench_version": __version__, "engine": facts, "batch_size": facts.get("batch_size"), **about}
    )


def run_digest(header: Header) -> str:
    """Return eight hexadecimal digits that name the run."""
    return sha256_text(canonical_json(header.run))[:8]


def journals_of_other_versions(folder: Path) -> list[str]:
    """Return a line for each journal in ``folder`` of another reading rule or prompt version.

    No run of this package continues them.
    """
    lines = []
    for path in sorted(folder.glob("journal-*.jsonl")):
        try:
            with path.open("rb") as stream:
                run = parse_header(stream.readline()).run
        except (OSError, ValueError):
            continue  # damaged, or just begun: reported when it is opened
        found = {name: run.get(name, 1) for name in VERSIONS}  # journals of version 1 do not have it
        if others := [name for name, version in VERSIONS.items() if found[name] != version]:
            theirs, ours = (
                " and ".join(f"{name.replace('_', ' ')} {versions[name]}" for name in others)
                for versions in (found, VERSIONS)
            )
            lines.append(
                f"{path} is a journal of {theirs}, this package has {ours}, and the two are never mixed: its requests "
                "are sent again"
            )
    return lines


def model_files(model_args: Mapping[str, Any], lm: Any) -> dict[str, str]:
    """Return a fingerprint of every file or folder that the arguments name, and the commit of a model from the hub.

    A checkpoint that was trained further in the same folder counts as another model.
    """
    prints = {
        name: fingerprint(Path(value))
        for name, value in sorted(model_args.items())
        if isinstance(value, str) and value and Path(value).exists()
    }
    commit = getattr(getattr(lm, "config", None), "_commit_hash", None)
    return {**prints, "commit": commit} if isinstance(commit, str) else prints


def fingerprint(path: Path) -> str:
    """Return a hash of a file, or of the files directly in a folder, by name, size and (sampled) content.

    Pages (``*.md``) are left out: a model's card is written once its results are known, and does not change them.
    """
    digest = hashlib.sha256()
    files = (
        [path] if path.is_file() else sorted(item for item in path.iterdir() if item.is_file() and item.suffix != ".md")
    )
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name if path.is_dir() else ''}\0{size}\0".encode())
        with file.open("rb") as stream:
            if size <= 4 * SAMPLED_BYTES:
                digest.update(stream.read())
            else:
                for start in (0, size // 2, size - SAMPLED_BYTES):
                    stream.seek(start)
                    digest.update(stream.read(SAMPLED_BYTES))
    return digest.hexdigest()[:16]


def _public(name: str, value: Any) -> Any:
    return f"sha256:{sha256_text(str(value))[:8]}" if name in SECRETS else value


# Writing results and samples as lm_eval does, with usage beside each response, and checking that they were written.


def output_folder(output_path: str, model_name: str) -> Path:
    """Return the folder in which lm_eval's tracker puts the results of ``model_name``."""
    from lm_eval.utils import sanitize_model_name

    path = Path(output_path)
    return path.parent if path.suffix == ".json" else path / sanitize_model_name(model_name)


def add_usage(samples: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Put ``usage`` beside the responses of every logged sample, and mark missing responses.

    ``usage`` has the shape of ``resps``: per request, per sample ``{tokens, finish_reason, source}`` or null. Where any
    response cost money, ``usd`` is added in the same shape, and ``prompt_tokens`` where they were counted.
    """
    for sample in (sample for task in samples.values() for sample in task):
        responses = [
            # accelerate pads its last request with extra repetitions
            list(request)[: len(kept) if isinstance(kept, list) else None]
            for request, kept in zip(sample["resps"], sample["filtered_resps"], strict=True)
        ]
        sample |= metered(responses)
        for name in ("usage", "usd", "prompt_tokens"):
            sample["doc"].pop(name, None)  # where plain lm_eval has to keep them
        if (read := sample["doc"].pop("read", None)) is not None:
            sample["read"] = read
        sample["resps"] = [[NO_RESPONSE if text is None else text for text in request] for request in responses]


def drop_doubled_errors(results: Mapping[str, dict[str, Any]]) -> None:
    """Drop what lm_eval puts beside standard errors of ours: ``score_stderr_stderr,none``, always "N/A"."""
    for values in results.values():
        for name in [name for name in values if name.endswith("_stderr_stderr,none")]:
            del values[name]


def count_missing(samples: Mapping[str, Sequence[dict[str, Any]]]) -> int:
    """Return how many logged responses are missing (after :func:`add_usage`)."""
    tasks = (sample for task in samples.values() for sample in task)
    return sum(text == NO_RESPONSE for sample in tasks for request in sample["resps"] for text in request)


def doubts(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, int]]:
    """Return what makes a run doubtful, by task: how many responses of how many (after :func:`add_usage`).

    ``cut_below_budget``: cut by another limit (:func:`roi_bench.scoring.tokens.was_cut_short`).
    ``over_budget``: longer than the budget. ``no_text``: no text, though not cut.
    ``equal_samples``: samples of a request that are all the same, where this is so for every request though they were
    drawn. A task without any of these is left out.
    """
    found = {}
    for name, documents in samples.items():
        counts = dict.fromkeys(("responses", *MEANT), 0)
        drawn = 0
        for sample in documents:
            for asked, usage, texts in zip(sample["arguments"], sample["usage"], sample["resps"], strict=True):
                generation = asked[-1]
                if not isinstance(generation, Mapping) or "max_gen_toks" not in generation:
                    continue  # another task of lm_eval's in the same run
                budget = int(generation["max_gen_toks"])
                known = [Usage(**used) for used in usage if used is not None]
                counts["responses"] += len(usage)
                counts["cut_below_budget"] += sum(was_cut_short(used, budget) for used in known)
                counts["over_budget"] += sum(is_over_budget(used, budget) for used in known)
                counts["no_text"] += sum(_has_no_text(*pair) for pair in zip(texts, usage, strict=True))
                if generation.get("do_sample") and len(texts) > 1:
                    drawn += len(texts)
                    counts["equal_samples"] += len(texts) if len(set(texts)) == 1 and texts[0].strip() else 0
        if counts["equal_samples"] < drawn:
            counts["equal_samples"] = 0
        if any(count for kind, count in counts.items() if kind != "responses"):
            found[name] = {kind: count for kind, count in counts.items() if count}
    return found


def _has_no_text(text: str, usage: Mapping[str, Any] | None) -> bool:
    return not text and (usage is None or (usage["tokens"] > 0 and usage["finish_reason"] == "stop"))


MEANT = {
    "cut_below_budget": "cut below the budget, by a limit of the server or the engine: this is not the exam's budget",
    "over_budget": "over the budget, which score nothing",
    "no_text": "without text though not cut: they ended at once, or in reasoning (think_end_token), and answer nothing",
    "equal_samples": "equal to all other samples of their prompt, though they were to be drawn",
}


def doubt_lines(found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for every doubt of :func:`doubts`."""
    return [
        f"doubtful: {name}: {counts[kind]} of {counts['responses']} responses are {meant}"
        for name, counts in found.items()
        for kind, meant in MEANT.items()
        if kind in counts
    ]


SHARE_EXPLAINED = 0.2
"""Above this share of problems without an answer, a line says what was seen in their place."""


def no_answer_lines(samples: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> list[str]:
    """Return a line for each task with many problems without an answer: what was seen, and the command that shows it.

    Counted are problems in the task's own order; a skipped one counts only where the whole response is NA.

    Args:
        samples: Logged samples by task (after :func:`add_usage`).
        folder: Where the results are.
    """
    lines = []
    for name, documents in samples.items():
        problems = [
            one
            for sample in documents
            for response in sample.get("read", [[]])[0]
            for one in response
            if one["outcome"] != "error"
        ]
        seen = Counter(one["seen"] for one in problems if one.get("seen", "na") != "na")
        if problems and seen.total() > SHARE_EXPLAINED * len(problems):
            said = ", ".join(f"{NO_ANSWER[kind]} {_percent(n, len(problems))}" for kind, n in seen.most_common())
            lines.append(
                f"no answer: {name}: {_percent(seen.total(), len(problems))} of problems ({said}); "
                f"to see them: roi-bench view {shlex.quote(str(folder))}"
            )
    return lines


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.0f} %"


def trial_lines(n_samples: Mapping[str, Mapping[str, Any]], estimates: Mapping[str, Estimate]) -> list[str]:
    """Return a line for the tasks with so few exams that their numbers are for trying only; none without such.

    Args:
        n_samples: lm_eval's counts by task.
        estimates: An estimate over all exams of each exam task.
    """
    few = [name for name, found in estimates.items() if is_small(found.exams, found.clusters)]
    if not few:
        return []
    said = ", ".join(f"{name} {estimates[name].exams} of {n_samples[name]['original']} exams" for name in few)
    return [f"for trying only: {said}; ranks need {FEWEST_EXAMS} exams of {FEWEST_CLUSTERS} clusters"]


def write_results(tracker: Any, results: dict[str, Any], samples: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Write the results file and one samples file a task through lm_eval's tracker, and return the former.

    They are written whole or not at all: into a folder of their own first, the results file moved last.

    Raises:
        RecordError: Not all of them could be written (lm_eval only logs a warning).
    """
    counts = {name: len(samples[name]) for name in results["configs"]}
    asked = Path(tracker.output_path)
    home = asked.parent if asked.suffix == ".json" else asked / str(tracker.general_config_tracker.model_name_sanitized)
    part = home / f"{PART}{os.getpid()}"
    log = _LastWords()
    try:
        part.mkdir(parents=True, exist_ok=True)
        tracker.output_path = str(part / asked.name) if asked.suffix == ".json" else str(part)
        with log:
            tracker.save_results_aggregated(results=results, samples=samples)
            for name in results["configs"]:
                tracker.save_results_samples(task_name=name, samples=samples[name])
        if tracker.push_results_to_hub or tracker.push_samples_to_hub:
            tracker.recreate_metadata_card()
        path = _results_path(tracker)
        json.loads(path.read_text(encoding="utf-8"))
        files = []
        for name, count in counts.items():
            files.append(path.with_name(f"samples_{name}_{tracker.date_id}.jsonl"))
            with files[-1].open("rb") as lines:
                written = sum(1 for _ in lines)
            if written != count:
                raise ValueError(f"{written} of {count} samples of {name}")
        for file in (*files, path):
            file.replace(home / file.name)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"no results were written to {home} ({log.said or error}); every response is safe in the journal there: "
            "make room and run the same command again"
        ) from error
    finally:
        tracker.output_path = str(asked)
        shutil.rmtree(part, ignore_errors=True)
    return home / path.name


class _LastWords(logging.Handler):
    """Keeps the last error that lm_eval's tracker logs: what it cannot write it passes over, at level INFO.

    A context manager.

    Attributes:
        said: The error, an empty text without any.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.said = ""
        self._logger = logging.getLogger("lm_eval.loggers.evaluation_tracker")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error as ``No space left on device``."""
        if found := re.match(r"OSError\(\d+, '(.+?)'\)", record.getMessage()):
            self.said = found[1]

    def __enter__(self) -> _LastWords:
        self._level, self._spreads = self._logger.level, self._logger.propagate
        self._logger.addHandler(self)
        if self._logger.getEffectiveLevel() > logging.INFO:
            self._logger.setLevel(logging.INFO)
            self._logger.propagate = False  # others asked for warnings alone, and get a line of ours
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)
        self._logger.propagate = self._spreads
        self._logger.removeHandler(self)


def _results_path(tracker: Any) -> Path:
    """Return the results file that lm_eval's tracker has just written, or was to write."""
    path, date = Path(tracker.output_path), getattr(tracker, "date_id", "unknown")
    if path.suffix == ".json":
        return path.with_name(f"{path.stem}_{date}.json")
    return path / str(tracker.general_config_tracker.model_name_sanitized) / f"results_{date}.json"


# The compact table at the end of ``roi-bench run``.

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("score", "score", 2),
    ("regret", "regret", 2),
    ("score_easy", "easy", 2),
    ("p1_acc", "p1", 2),
    ("p2_acc", "p2", 2),
    ("p3_acc", "p3", 2),
    ("skip_rate", "skip", 2),
    ("truncated", "cut", 2),
    ("unanswered+empty", "none", 2),
    ("tokens", "tokens", 0),
)
"""Metric (or a sum of some), heading, decimals. Names of tasks apart the whole table fits into 80 columns."""

SOLO_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("acc", "right", 2),
    ("skip_rate", "skip", 2),
    ("truncated", "cut", 2),
    ("unanswered+empty", "none", 2),
    ("tokens", "tokens", 0),
)
"""The same for problems asked alone."""

WITH_ERROR = ("score", "regret", "acc")
"""Metrics shown with their standard error."""

SOLO_LEGEND = (
    "problems asked alone; right, skip, cut, none: shares of samples; roi-bench profile makes a solo profile of them"
)

LEGEND = (
    "± one standard error for new problems, where anything varied; easy: score in easy order; p1–p3: accuracy by\n"
    "position; skip, cut, none: share of problems answered NA, cut off by the budget, without an answer"
)

LOG_WIDTH = 160
"""Columns where the output is no terminal and nothing need be folded."""


def is_exam_result(values: Mapping[str, Any]) -> bool:
    """Whether lm_eval's ``values`` of a task are those of an exam task."""
    return "score,none" in values and "regret,none" in values


def is_solo_result(name: str, values: Mapping[str, Any]) -> bool:
    """Whether lm_eval's ``values`` of the task ``name`` are those of a solo task."""
    return name.startswith("roi_") and "acc,none" in values and "over_budget,none" not in values


def table_rows(results: Mapping[str, Mapping[str, Any]], solo: bool = False) -> list[list[str]]:
    """Return one row of cells per exam task: alias, exams, then :data:`COLUMNS`; an undefined number is ``n/a``.

    ``solo``: the same for solo tasks, with problems and :data:`SOLO_COLUMNS`.
    """
    return [
        [
            str(values.get("alias", name)).strip(),
            str(values.get("sample_len", "")),
            *(_cell(values, metric, decimals) for metric, _, decimals in (SOLO_COLUMNS if solo else COLUMNS)),
        ]
        for name, values in results.items()
        if (is_solo_result(name, values) if solo else is_exam_result(values))
    ]


def setup_text(facts: Mapping[str, Any]) -> str:
    """Return what of an engine's facts changes greedy answers too, for a title: `` (float32, batch size 24)``."""
    said = [str(facts[name]) for name in ("dtype", "quantization") if facts.get(name)]
    said += [f"batch size {facts['batch_size']}"] if facts.get("batch_size") else []
    return f" ({', '.join(said)})" if said else ""


def print_results(results: Mapping[str, Any], title: str, lines: Sequence[str]) -> None:
    """Print exam tasks and solo tasks as compact tables, other tasks as lm_eval does, and ``lines`` below them."""
    import click
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    found = results["results"]
    with console.capture() as captured:
        console.print(title, style="bold", soft_wrap=True, markup=False)
        for solo, columns, legend in ((False, COLUMNS, LEGEND), (True, SOLO_COLUMNS, SOLO_LEGEND)):
            if rows := table_rows(found, solo):
                heads = ["task", "n", *(heading for _, heading, _ in columns)]
                console.print(_compact_table(heads, rows, console.width))
                console.print(legend, style="dim")
        ours = {name for name, values in found.items() if is_exam_result(values) or is_solo_result(name, values)}
        others = sorted(found.keys() - ours)
        if set(others) - set(results.get("group_subtasks", {})):
            from lm_eval.utils import make_table

            shown = {name: found[name] for name in others}
            console.print(make_table({**results, "results": shown}), markup=False)
        for line in lines:
            console.print(line, soft_wrap=True, markup=False)
    click.echo(captured.get(), nl=False)  # unlike rich it writes whatever the locale's encoding is


def _compact_table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Any:
    """Return a rich table of numbers, at most ``width`` wide if the names of tasks can be broken so far."""
    from rich.markup import escape
    from rich.table import Table

    from roi_bench.analysis.reports.tables import break_text

    numbers = sum(1 + max(map(len, column)) for column in list(zip(heads, *rows, strict=True))[1:])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in heads:
        table.add_column(heading, justify="left" if heading == "task" else "right", no_wrap=True)
    for name, *cells in rows:
        table.add_row(escape("\n".join(break_text(name, max(NARROWEST, width - numbers)))), *map(escape, cells))
    return table


NARROWEST = 15
"""Columns that names of tasks keep."""


def _cell(values: Mapping[str, Any], metric: str, decimals: int) -> str:
    parts = [values.get(f"{name},none") for name in metric.split("+")]
    known = [part for part in parts if isinstance(part, int | float)]
    if len(known) < len(parts):
        return UNDEFINED_CELL
    shown = f"{sum(known):.{decimals}f}"
    stderr = values.get(f"{metric}_stderr,none") if metric in WITH_ERROR else None
    # where all exams agree the error is 0, which says that they are few, not that the number is certain
    return f"{shown}±{stderr:.{decimals}f}" if isinstance(stderr, int | float) and stderr > NO_WIDTH else shown


UNDEFINED_CELL, NO_WIDTH = "n/a", 1e-12
