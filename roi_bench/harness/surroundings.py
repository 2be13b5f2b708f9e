"""What ``roi-bench doctor`` looks at around the installation: data, the shipped model, and the machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roi_bench.diagnosis import Finding, judge_disk
from roi_bench.errors import DependencyError, RoiBenchError
from roi_bench.harness.installation import ask_fresh_interpreter, version

FREE_BYTES = 1_000_000_000
"""Space that results, journals and temporary files of a large run want."""

HUB_SECONDS = 5.0

GPUS = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
names = [f"{torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB"
         for i in range(count)]
print("\\n" + json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "names": names,
                         "mps": torch.backends.mps.is_available()}))
"""


def check_data() -> Iterator[Finding]:
    """Load the frozen exams from where a run would, every hash checked, and the two generated sets."""
    from roi_bench.exams.pools import DATA_DIR_VARIABLE, HUB, resolve_source
    from roi_bench.exams.sets import load_exams

    source = resolve_source()
    where = "the Hugging Face hub" if source == HUB else source
    yield Finding(
        "data", DATA_DIR_VARIABLE, "ok", os.environ.get(DATA_DIR_VARIABLE) or "not set: pools come from the hub"
    )
    reachable = _check_hub() if source == HUB else None
    if reachable is not None:
        yield reachable
    sets = ("v1", "fresh", "tiny") if reachable is None or reachable.status != "problem" else ("fresh", "tiny")
    for exam_set in sets:
        try:
            count = len(load_exams(exam_set))
        except RoiBenchError as error:
            advice = f"roi_{'exam' if exam_set == 'v1' else exam_set}_… cannot run; the other sets can"
            yield Finding("data", f"exams {exam_set}", "problem", str(error), advice)
        else:
            detail = f"{count} exams, every hash checked" + (f", from {where}" if exam_set == "v1" else "")
            yield Finding("data", f"exams {exam_set}", "ok", detail)


def _check_hub() -> Finding:
    """Return whether the hub answers; asked only where the pools come from it."""
    advice = "set ROI_BENCH_DATA_DIR to a folder with the pools; roi_tiny_… and roi_fresh_… need none"
    try:
        from huggingface_hub import constants
    except ImportError:
        return Finding("data", "hub", "problem", "huggingface_hub is not installed", "pip install datasets")
    if constants.HF_HUB_OFFLINE:
        return Finding("data", "hub", "note", "HF_HUB_OFFLINE is set: only what is cached can be read", advice)
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 - the hub's own address
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):  # noqa: S310
            return Finding("data", "hub", "ok", f"{constants.ENDPOINT} answers")
    except (OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            return Finding("data", "hub", "ok", f"{constants.ENDPOINT} answers ({error.code})")
        reason = getattr(error, "reason", error)
        return Finding("data", "hub", "problem", f"{constants.ENDPOINT} cannot be reached: {reason}", advice)


def check_model() -> Iterator[Finding]:
    """Look for the shipped tiny model and load its tokenizer."""
    from roi_bench.exams.tiny import model_path
    from roi_bench.harness.tokenizer import load_token_counter

    folder = model_path()
    wanted = ("config.json", "model.safetensors", "tokenizer.json")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        detail = f"{', '.join(missing)} missing in {folder}"
        yield Finding("model", "tiny model", "broken", detail, "install roi-bench again")
        return
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    yield Finding("model", "tiny model", "ok", f"{folder} ({size / 1e6:.1f} MB)")
    try:
        count = len(load_token_counter(str(folder)).token_starts("### Problem 1\n\\boxed{NA}\n"))
    except DependencyError as error:
        yield Finding("model", "tokenizer", "note", str(error), "pip install 'roi-bench[hf]'")
    except RoiBenchError as error:
        yield Finding("model", "tokenizer", "broken", str(error), "reinstall roi-bench, or another transformers")
    else:
        yield Finding("model", "tokenizer", "ok", f"loads ({count} tokens for a skipped problem)")


def check_machine() -> Iterator[Finding]:
    """Look at the accelerator, threads and disk space."""
    if version("torch") is None:
        advice = "for local models: pip install 'roi-bench[hf]'"
        yield Finding("machine", "GPU", "note", "torch is not installed", advice)
    else:
        yield _judge_gpu(ask_fresh_interpreter(GPUS))
    yield _judge_threads(os.cpu_count() or 1, os.environ)
    places = {"disk (here)": Path.cwd(), "disk (temporary)": Path(tempfile.gettempdir())}
    for name, place in places.items():
        yield judge_disk(name, shutil.disk_usage(place).free, FREE_BYTES)


def _judge_gpu(answer: dict[str, Any] | str) -> Finding:
    """Return what torch sees, asked in a process of its own: a broken driver must not take the doctor along."""
    if isinstance(answer, str):
        return Finding("machine", "GPU", "problem", f"torch cannot be asked: {answer}", "reinstall torch")
    names = answer["names"]
    if isinstance(names, list) and names:
        return Finding("machine", "GPU", "ok", f"{'; '.join(names)} (CUDA {answer['cuda']})")
    if answer["mps"]:
        return Finding("machine", "GPU", "ok", "Apple GPU (mps)")
    advice = "the tiny exams run on the CPU; for larger models use a GPU or an API"
    if answer["cuda"]:
        advice = "this torch has CUDA but sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES. Otherwise " + advice
    return Finding("machine", "GPU", "note", f"none seen by torch {answer['torch']}", advice)


def _judge_threads(cores: int, environment: Mapping[str, str]) -> Finding:
    """Return whether the thread settings suit the small model on this many cores."""
    chosen = environment.get("OMP_NUM_THREADS") or environment.get("OMP_WAIT_POLICY")
    if chosen:
        return Finding("machine", "threads", "ok", f"{cores} cores, OpenMP set to {chosen}")
    advice = "on a CPU, OMP_NUM_THREADS=1 can run models as small as the tiny one several times faster"
    return Finding("machine", "threads", "note", f"{cores} cores, OMP_NUM_THREADS not set", advice)
