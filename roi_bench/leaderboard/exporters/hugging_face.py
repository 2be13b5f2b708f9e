"""For the Hugging Face Hub: `.eval_results/*.yaml` of model repositories, and the `eval.yaml` of a benchmark's dataset.

The format is that of ``huggingface_hub.EvalResultEntry``; what the Hub does with it says its page "Evaluation Results".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, UsageError
from roi_bench.leaderboard.board.board import Board, Entry, Standing
from roi_bench.leaderboard.exporters.export_files import model_page_url, published, safe_name, write_pages
from roi_bench.leaderboard.site.page import PageFile
from roi_bench.leaderboard.site.shown_text import visible_line

DATASET_ID = "roi-bench/exams"
"""Dataset on the Hub in whose name results are given, where the board names no other."""

FRAMEWORK = "roi-bench"
"""How ``eval.yaml`` names what grades; the Hub keeps the list of known ones."""

VALUE_DIGITS = 4
"""Decimals of a score; one exam of 480 weighs 0.002. The page that ``source`` names has all digits."""

LONGEST_NOTES = 500
"""Characters of notes, which stand beside a score on the page of a model."""


def export_hugging_face(board: Board, out: Path, *, dataset_id: str = DATASET_ID) -> list[Path]:
    """Write what the Hub takes below ``out`` and return the files.

    - ``dataset/eval.yaml`` registers the benchmark: a task for each cell.
    - ``models/<submission>/.eval_results/roi_bench_<cell>_<prompt>.yaml``: one score each, since the Hub wants variants
      in files of their own. Only for models whose weights are not said to be closed.
    - ``models.json``: which model each of these folders is for.

    Args:
        board: The board; drafts, replaced and withdrawn submissions, and rows of the literature are left out.
        out: Folder to write to.
        dataset_id: Dataset on the Hub that holds ``eval.yaml``.

    Raises:
        UsageError: ``dataset_id`` is no name on the Hub, or ``out`` cannot be written.
        DependencyError: huggingface_hub is missing or too old.
    """
    _check_dataset(dataset_id)
    return write_pages(_pages(board, dataset_id), out)


def _pages(board: Board, dataset_id: str) -> Iterator[PageFile]:
    yield PageFile("dataset/eval.yaml", _yaml(benchmark(board)))
    entries = {
        entry.id: entry for entry in published(board) if entry.graded.submission.metadata.open_weights is not False
    }
    files: dict[str, list[str]] = {identity: [] for identity in entries}
    for table in board.cells:
        for standing in table.standings:
            found = eval_result(board, standing, dataset_id) if standing.entry.id in entries else None
            if found is not None:
                path = f".eval_results/roi_bench_{safe_name(standing.run.slug)}.yaml"
                files[standing.entry.id].append(path)
                yield PageFile(f"models/{safe_name(standing.entry.id)}/{path}", _yaml(found))
    listed = {
        identity: {"model": visible_line(entries[identity].graded.submission.metadata.model), "files": sorted(names)}
        for identity, names in sorted(files.items())
        if names
    }
    yield PageFile("models.json", (json.dumps(listed, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))


def benchmark(board: Board) -> dict[str, Any]:
    """Return the content of ``eval.yaml``: a task for each cell; a task's ``config`` is its set of exams."""
    cells = [table.cell for table in board.cells]
    return {
        "name": "ROI-Bench",
        "description": "Exams of three problems of different difficulty under one hard budget of generated tokens. "
        "Score: correct answers per exam, 0 to 3, in the order that the task names.",
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": cell.slug, "config": cell.set_title.replace("/", "_"), "split": "test"} for cell in cells],
    }


def eval_result(board: Board, standing: Standing, dataset_id: str = DATASET_ID) -> list[dict[str, Any]] | None:
    """Return the content of one file of ``.eval_results``; None for a run whose score is undefined."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    score = standing.run.numbers["score"].value
    if score is None:
        return None
    url = model_page_url(board, standing.entry)
    found = EvalResultEntry(
        dataset_id=dataset_id,
        task_id=standing.run.cell.slug,
        value=round(score, VALUE_DIGITS),
        date=standing.entry.graded.submission.metadata.date,
        source_url=url,
        source_name=visible_line(board.title) if url else None,
        notes=_notes(standing.entry, standing),
    )
    written: list[dict[str, Any]] = eval_result_entries_to_yaml([found])
    return written


def _notes(entry: Entry, standing: Standing) -> str:
    """Return how the score came about, on one line."""
    run = standing.run
    score = run.numbers["score"]
    parts = [f"prompt {run.prompt}", f"budget {run.cell.budget} generated tokens an exam", f"{run.exams} exams"]
    if run.repeats > 1:
        parts.append(f"{run.repeats} samples an exam")
    if score.low is not None and score.high is not None:
        parts.append(f"95 % interval {score.low:.{VALUE_DIGITS}f} to {score.high:.{VALUE_DIGITS}f}")
    version = entry.graded.submission.metadata.version
    parts += [f"version {version}"] if version else []
    parts += [entry.badge, run.decoding or "greedy decoding", *(f"deviates: {label}" for label in run.deviations)]
    notes = visible_line("; ".join(parts))
    return notes if len(notes) <= LONGEST_NOTES else notes[: LONGEST_NOTES - 1] + "…"


def _check_dataset(dataset_id: str) -> None:
    try:
        from huggingface_hub import eval_result_entries_to_yaml  # noqa: F401
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id
    except ImportError as error:
        raise DependencyError(
            f"results for the Hub need huggingface_hub 1.4 ({error}); pip install 'huggingface_hub>=1.4' "
            "'transformers>=5', in another environment if this one needs transformers 4"
        ) from error
    try:
        validate_repo_id(dataset_id)
    except HFValidationError as error:
        raise UsageError(f"{dataset_id!r}: not the name of a dataset on the Hub, OWNER/NAME ({error})") from error


def _yaml(content: object) -> bytes:
    import yaml

    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return text.encode("utf-8")
