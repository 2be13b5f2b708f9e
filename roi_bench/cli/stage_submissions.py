"""Submissions to a leaderboard of the stages that ``roi-bench train evaluate`` has evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roi_bench.errors import RoiBenchError

if TYPE_CHECKING:
    from roi_bench.reference_training.recipe import Recipe

ADDED = {"base": "", "mft": " + MFT", "rarl": " + MFT + RARL"}
"""What a stage adds to the name of the model that the recipe trains."""

TRAINED = "Trained on the benchmark's training exams; no evaluation problem is among them (checked by hash)."
GENERATED = "Trained from scratch on generated problems; no evaluation problem is among them (checked by hash)."
UNKNOWN = "Of the base model: see its card."


def pack_stages(recipe: Recipe, out: Path, contact: str | None, tell: Callable[[str], None]) -> list[Path]:
    """Pack a submission of every evaluated stage into ``out / "evaluation" / "submissions"`` and return their folders.

    They are drafts where only some exams were sat, or nobody is named who answers questions. The evaluation is done by
    then, so what keeps a submission from being made is told and fails nothing.

    Args:
        recipe: The recipe of the training run.
        out: Its folder.
        contact: Who answers questions about the submissions, or None.
        tell: Is told what was made, and what was not.
    """
    evaluation = out / "evaluation"
    found = json.loads((evaluation / "stages.json").read_text(encoding="utf-8"))["results"]
    folders = []
    for stage, files in found.items():
        try:
            folders.append(_pack(recipe, stage, [evaluation / file for file in files], evaluation, contact))
        except RoiBenchError as error:
            tell(f"no submission of {stage}: {error}")
    if folders:
        tell(f"submissions: {evaluation / 'submissions'}{_why_drafts(recipe, contact)}; roi-bench submit check DIR")
    return folders


def _pack(recipe: Recipe, stage: str, files: Sequence[Path], evaluation: Path, contact: str | None) -> Path:
    from roi_bench.leaderboard.given_metadata import make_metadata
    from roi_bench.leaderboard.pack import pack_submission
    from roi_bench.leaderboard.public_names import public_model
    from roi_bench.leaderboard.results_metadata import load_results

    statements = ([GENERATED] if recipe.model == "tiny" else [UNKNOWN]) + ([TRAINED] if stage != "base" else [])
    given: dict[str, Any] = {
        "model": public_model(recipe.model) + ADDED[stage],
        "contamination": " ".join(statements),
        "contact": contact or "not given",
        "notes": f"Evaluated by roi-bench train: recipe {recipe.name}, seed {recipe.seed}, stage {stage}.",
    }
    results = load_results(files)
    metadata = make_metadata(results, None, given)
    draft = bool(_why_drafts(recipe, contact))
    return pack_submission(results, evaluation / "submissions", metadata, draft=draft)


def _why_drafts(recipe: Recipe, contact: str | None) -> str:
    if recipe.evaluation.limit is not None:
        return f" (drafts: only {recipe.evaluation.limit} exams were sat)"
    return "" if contact else " (drafts: give --contact for ones that can be submitted)"
