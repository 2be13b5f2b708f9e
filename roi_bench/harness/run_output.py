"""Writing results and samples as lm_eval does, with usage beside each response, and making sure they are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from roi_bench.errors import RecordError
from roi_bench.harness.metering import metered
from roi_bench.records.results import NO_RESPONSE


def output_folder(output_path: str, model_name: str) -> Path:
    """Return the folder in which lm_eval's tracker puts the results of ``model_name``."""
    from lm_eval.utils import sanitize_model_name

    path = Path(output_path)
    return path.parent if path.suffix == ".json" else path / sanitize_model_name(model_name)


def add_usage(samples: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Put ``usage`` beside the responses of every logged sample, and mark responses that could not be had.

    ``usage`` has the shape of ``resps``: per request, per sample ``{tokens, finish_reason, source}`` or null. Where any
    response cost money, ``usd`` stands beside it in the same shape; so do ``prompt_tokens`` where they were counted.
    """
    for sample in (sample for task in samples.values() for sample in task):
        responses = [
            # accelerate pads its last request with more repetitions than were asked for
            list(request)[: len(kept) if isinstance(kept, list) else None]
            for request, kept in zip(sample["resps"], sample["filtered_resps"], strict=True)
        ]
        sample |= metered(responses)
        for name in ("usage", "usd", "prompt_tokens"):
            sample["doc"].pop(name, None)  # where plain lm_eval has to keep them
        sample["resps"] = [[NO_RESPONSE if text is None else text for text in request] for request in responses]


def count_missing(samples: Mapping[str, Sequence[dict[str, Any]]]) -> int:
    """Return how many logged responses could not be had (after :func:`add_usage`)."""
    tasks = (sample for task in samples.values() for sample in task)
    return sum(text == NO_RESPONSE for sample in tasks for request in sample["resps"] for text in request)


def write_results(tracker: Any, results: dict[str, Any], samples: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Write the results file and one samples file a task through lm_eval's tracker, and return the former.

    Raises:
        RecordError: They are not all there afterwards (lm_eval only logs a warning).
    """
    counts = {name: len(samples[name]) for name in results["configs"]}
    tracker.save_results_aggregated(results=results, samples=samples)
    for name in results["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    if tracker.push_results_to_hub or tracker.push_samples_to_hub:
        tracker.recreate_metadata_card()
    path = _results_path(tracker)
    try:
        json.loads(path.read_text(encoding="utf-8"))
        for name, count in counts.items():
            with path.with_name(f"samples_{name}_{tracker.date_id}.jsonl").open("rb") as lines:
                written = sum(1 for _ in lines)
            if written != count:
                raise ValueError(f"{written} of {count} samples of {name}")
    except (OSError, ValueError) as error:
        raise RecordError(
            f"results were not completely written to {path} ({error}); every response is safe in the journal beside "
            "it: make room and run the same command again"
        ) from error
    return path


def _results_path(tracker: Any) -> Path:
    path, date = Path(tracker.output_path), getattr(tracker, "date_id", "unknown")
    if path.suffix == ".json":
        return path.with_name(f"{path.stem}_{date}.json")
    return path / str(tracker.general_config_tracker.model_name_sanitized) / f"results_{date}.json"
