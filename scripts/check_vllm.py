"""The steps of ``scripts/check_vllm.sh`` after the installation, in an environment that has the real vLLM.

python -m scripts.check_vllm --out DIR [--steps doctor,engines,drawn,kills,refusals] [--kills N] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from roi_bench.exams.tiny import model_path
from roi_bench.records.journal import HEADER_BEGIN

TASK, BUDGET = "roi_tiny_hard_128", 128
VLLM = "dtype=float32,enforce_eager=True,max_model_len=2048"
PATIENCE = 1800
"""Seconds after which a process that should have ended counts as hanging."""

failures: list[str] = []


def say(line: str) -> None:
    """Print a line at once, with the time since the start."""
    sys.stdout.write(f"{time.monotonic() - BEGAN:6.0f} s  {line}\n")
    sys.stdout.flush()


BEGAN = time.monotonic()


def check(holds: bool, what: str) -> None:
    """Say whether ``what`` holds, and remember if it does not."""
    say(f"{'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        failures.append(what)


# ------------------------------------------------------------------------------------------------------- processes
@dataclass(slots=True)
class Run:
    """A ``roi-bench`` process, its output in files."""

    process: subprocess.Popen[bytes]
    said: Path

    def end(self) -> int:
        """Wait for it and return its exit code."""
        return self.process.wait(PATIENCE)

    @property
    def stderr(self) -> str:
        """What it wrote to stderr so far."""
        return self.said.with_suffix(".err").read_text(errors="replace")

    @property
    def last_line(self) -> str:
        """The last line on stderr."""
        return (self.stderr.strip().splitlines() or [""])[-1].rpartition("\r")[2]

    @property
    def has_traceback(self) -> bool:
        """Whether a traceback on stderr passes through this project; those of vLLM's own processes do not."""
        return re.search(r'^  File ".*/roi_bench/', self.stderr, re.MULTILINE) is not None

    def children(self) -> list[psutil.Process]:
        """Return the processes that it has started."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def start(name: Path, *arguments: str, **variables: str) -> Run:
    """Start ``roi-bench`` with ``arguments``; what it writes goes to ``name``.out and ``name``.err."""
    name.parent.mkdir(parents=True, exist_ok=True)
    known = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", **os.environ, **variables}
    out, err = (name.with_suffix(suffix).open("wb") for suffix in (".out", ".err"))
    with out, err:
        command = [sys.executable, "-m", "roi_bench", *arguments]
        return Run(subprocess.Popen(command, stdout=out, stderr=err, env=known), name)


def run_arguments(engine: str, output: Path, limit: int, model_args: str, *more: str) -> list[str]:
    """Return the arguments of a run of the shipped tiny model, or of another one that ``model_args`` names."""
    named = model_args if "pretrained=" in model_args else f"pretrained={model_path('mft')},{model_args}"
    device = [] if engine == "vllm" else ["--device", "cpu"]
    return [
        *("run", "--model", engine, "--model_args", named, *device, "--tasks", TASK, "--limit", str(limit)),
        *("--output_path", str(output), *more),
    ]


def samples(output: Path) -> bytes:
    """Return the samples file of a finished run."""
    return max(output.rglob("samples_*.jsonl")).read_bytes()


def recorded(output: Path) -> list[bytes]:
    """Return the whole lines of responses in the journal of a run."""
    found = list(output.rglob("journal-*.jsonl"))
    lines = found[0].read_bytes().split(b"\n")[:-1] if found else []
    return [line for line in lines if not line.startswith(HEADER_BEGIN)]


# ----------------------------------------------------------------------------------------------------------- steps
def doctor(out: Path, _options: argparse.Namespace) -> None:
    """``roi-bench doctor`` knows vLLM, whichever its distribution is called."""
    run = start(out / "doctor", "doctor", "--json")
    check(run.end() == 0, "doctor finds nothing broken")
    findings = json.loads((out / "doctor.out").read_text())["findings"]
    found = [finding for finding in findings if finding["name"].startswith("vllm")]
    for finding in found:
        say(f"     {finding['status']} {finding['name']}: {finding['detail']}")
    check(bool(found) and all(finding["status"] == "ok" for finding in found), "doctor: vllm is ok")


def engines(out: Path, _options: argparse.Namespace) -> None:
    """The tiny model in float32 says the same on vLLM and on transformers."""
    for engine, arguments, more in (("hf", "dtype=float32", ["--batch_size", "8"]), ("vllm", VLLM, [])):
        began, run = time.monotonic(), start(out / engine, *run_arguments(engine, out / engine, 20, arguments, *more))
        check(run.end() == 0, f"{engine}: the run ends well ({time.monotonic() - began:.0f} s)")
        lines = (out / f"{engine}.out").read_text().splitlines()
        check(len(lines) < 10, f"{engine}: {len(lines)} lines on stdout, the table and nothing else")
    texts = [[json.loads(line)["resps"] for line in samples(out / engine).splitlines()] for engine in ("hf", "vllm")]
    differing = sum(a != b for a, b in zip(*texts, strict=True))
    check(differing == 0, f"all {len(texts[0])} exams have equal texts on hf and vllm ({differing} differ)")
    where = ["--per-exam", "--logits", str(model_path("mft"))] if differing else []
    compared = start(out / "compared", "compare-engines", str(out / "hf"), str(out / "vllm"), *where)
    check(compared.end() == 0, "compare-engines takes both runs")
    sys.stdout.write((out / "compared.out").read_text())


def drawn(out: Path, _options: argparse.Namespace) -> None:
    """Samples are drawn, each with a seed of its own, also where prompts do not all fit into one step."""
    sampling = ("--metadata", '{"repeats": 4}', "--gen_kwargs", "do_sample=True,temperature=0.7")
    runs = [out / "drawn", out / "again"]
    for folder in runs:
        began, run = time.monotonic(), start(folder, *run_arguments("vllm", folder, 60, VLLM, *sampling))
        check(run.end() == 0, f"{folder.name}: the run ends well ({time.monotonic() - began:.0f} s)")
    texts = [
        [request for line in samples(folder).splitlines() for request in json.loads(line)["resps"]] for folder in runs
    ]
    differ = sum(len(set(request)) > 1 for request in texts[0])
    check(len(texts[0]) == 120 and differ > 60, f"samples of one prompt differ in {differ} of {len(texts[0])} prompts")
    check(texts[0] == texts[1], "the same seed draws the same samples")


KILLS = ("SIGKILL", "SIGTERM", "EngineCore", "Worker")


def kills(out: Path, options: argparse.Namespace) -> None:
    """A run that is killed at random moments asks nothing twice and equals one that was left alone."""
    limit, chance = 40, random.Random(options.seed)
    arguments = [f"{VLLM},max_num_seqs=4"]
    whole = start(out / "whole", *run_arguments("vllm", out / "whole", limit, *arguments))
    check(whole.end() == 0, "a run that is left alone ends well")
    total, broken, abandoned = len(recorded(out / "whole")), out / "broken", 0
    shutil.rmtree(broken, ignore_errors=True)
    again = run_arguments("vllm", broken, limit, *arguments)
    for number in range(options.kills):
        before, left = recorded(broken), options.kills - number
        how = KILLS[number % len(KILLS)]
        run = start(out / f"killed-{number + 1}", *again)
        most = max(1, (total - 1 - len(before)) // left)
        moment = 0 if number == 0 else len(before) + chance.randint(1, most)
        _await_moment(run, broken, moment, chance)
        _kill(run, how, f"{how} {number + 1} of {options.kills}")
        kept = recorded(broken)
        check(kept[: len(before)] == before, f"     {len(before)} responses kept, {len(kept)} now")
        check(len(set(kept)) == len(kept) < total, f"     none of them twice, {total - len(kept)} to go")
        check(_told(run, len(before)), f"     it said at its start that {len(before)} are there")
        abandoned += how == "SIGKILL" and bool(kept)
    last = start(out / "last", *again)
    check(last.end() == 0, "the last start ends well")
    everything = recorded(broken)
    check(len(everything) == len(set(everything)) == total, f"{len(everything)} responses, each once, of {total}")
    check(
        samples(broken) == samples(out / "whole"), "its samples file equals that of the run left alone, byte for byte"
    )
    say(f"     ({abandoned} times the journal was left behind by a killed process)")


def _told(run: Run, count: int) -> bool:
    """Whether the run said how many responses it found, or ended before it could."""
    said = f"not requested again: {count} in " in run.stderr
    return said or count == 0 or "responses:" not in run.stderr


def _await_moment(run: Run, output: Path, moment: int, chance: random.Random) -> None:
    """Wait until so many responses are recorded, and a little longer; 0: some seconds of the start."""
    if moment == 0:
        time.sleep(3 + 12 * chance.random())
        return
    while len(recorded(output)) < moment and run.process.poll() is None:
        time.sleep(chance.random() / 10)
    time.sleep(chance.random() / 2)


def _kill(run: Run, how: str, name: str) -> None:
    """Kill the run or one process of its engine, and check how it ends."""
    children = run.children()
    if how.startswith("SIG"):
        run.process.send_signal(getattr(signal, how))
        wanted, begins = (-9, "") if how == "SIGKILL" else (143, "roi-bench: terminated; ")
    else:
        victims = [child for child in children if f"VLLM::{how}" in " ".join(_command(child))]
        check(bool(victims), f"{name}: the engine has such a process")
        for victim in victims[:1]:
            victim.kill()
        wanted, begins = 4, "roi-bench: vllm failed: EngineDeadError: "
    code = run.end()
    check(code == wanted, f"{name}: exit code {code}, wanted {wanted}")
    if begins:
        check(run.last_line.startswith(begins), f"     last line: {run.last_line[:160]}")
        check(not run.has_traceback, "     no traceback of ours")
    began = time.monotonic()
    while (alive := [child for child in children if _runs(child)]) and time.monotonic() < began + 60:
        time.sleep(0.1)
    took = f"{time.monotonic() - began:.0f} s"
    check(not alive, f"     {len(children)} processes of its engine, {len(alive)} still there {took} later")
    for child in alive:
        child.kill()


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # such as nobody has asked for the exit code
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.Error:
        return []


# -------------------------------------------------------------------------------------------------------- refusals
@dataclass(frozen=True, slots=True)
class Refusal:
    """Bad input, and how it has to end: the exit code, and what the last line says."""

    name: str
    arguments: Sequence[str]
    code: int
    says: str
    variables: Mapping[str, str] | None = None


def refused(out: Path) -> list[Refusal]:
    """Return the bad input, with the folders that it needs made below ``out``."""
    tiny = Path(model_path("mft"))
    strange, bare, untemplated = (_copy(tiny, out / name) for name in ("strange", "no_tokenizer", "no_template"))
    config = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps({**config, "model_type": "x", "architectures": ["XForCausalLM"]}))
    for file in bare.glob("*token*"):
        file.unlink()
    (untemplated / "chat_template.jinja").unlink()
    for name, text in (("empty", ""), ("raising", "raise ImportError('libcudart.so: cannot open shared object file')")):
        (out / name / "vllm").mkdir(parents=True, exist_ok=True)
        (out / name / "vllm" / "__init__.py").write_text(text)

    def case(name: str, engine: str, code: int, says: str, changes: str = "", *more: str, **variables: str) -> Refusal:
        fixed = f"{VLLM}," if engine == "vllm" and "max_model_len" not in changes else "dtype=float32,"
        model_args = (fixed + changes).rstrip(",")
        return Refusal(name, run_arguments(engine, out / f"to-{name}", 2, model_args, *more), code, says, variables)

    def first(name: str) -> str:
        return os.pathsep.join(filter(None, [str(out / name), os.environ.get("PYTHONPATH")]))

    budget = ["--metadata", '{"budget": 1024}']
    both = [
        case(f"{engine}-{name}", engine, 4, says, changes, *more)
        for engine in ("hf", "vllm")
        for name, says, changes, more in (
            ("no-folder", "there is no folder /no/such/folder", "pretrained=/no/such/folder", []),
            ("architecture", "cannot load model", f"pretrained={strange}", []),
            ("no-tokenizer", "okenizer", f"pretrained={bare}", []),
            ("no-template", "no chat template", f"pretrained={untemplated}", ["--apply_chat_template"]),
            ("context", "context holds 512", f"{'max_model_len' if engine == 'vllm' else 'max_length'}=512", budget),
            (
                "adapter",
                "/no/such/adapter",
                f"{'lora_local_path' if engine == 'vllm' else 'peft'}=/no/such/adapter",
                [],
            ),
        )
    ]
    return [
        *both,
        case("vllm-memory", "vllm", 4, "cannot load model 'vllm'.*[Mm]emory", VLLM_CPU_KVCACHE_SPACE="100000"),
        case("vllm-argument", "vllm", 2, "do not fit model 'vllm'.*no_such_argument", "no_such_argument=1"),
        case("vllm-empty-package", "vllm", 6, "vllm.* cannot be imported", PYTHONPATH=first("empty")),
        case("vllm-raising-package", "vllm", 6, "vllm.* cannot be imported: libcudart", PYTHONPATH=first("raising")),
    ]


def _copy(folder: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(folder, target))


def refusals(out: Path, _options: argparse.Namespace) -> None:
    """Bad input ends in one line that says what is wrong, and two runs do not write into one folder."""
    for item in refused(out):
        run = start(out / item.name, *item.arguments, **(item.variables or {}))
        _judge_refusal(run, item.name, item.code, item.says)
    arguments = run_arguments("vllm", out / "shared", 40, f"{VLLM},max_num_seqs=2")
    first = start(out / "first", *arguments)
    while not recorded(out / "shared") and first.process.poll() is None:
        time.sleep(0.2)
    first.process.send_signal(signal.SIGSTOP)  # it must not be done before the second one comes
    second = start(out / "second", *arguments)
    _judge_refusal(second, "two-runs-one-folder", 5, f"in use by process {first.process.pid}")
    first.process.send_signal(signal.SIGCONT)
    check(first.end() == 0, "     the first one goes on and ends well")


def _judge_refusal(run: Run, name: str, code: int, says: str) -> None:
    found = run.end()
    line = run.last_line
    fits = line.startswith("roi-bench: ") and re.search(says, line) is not None
    check(found == code and fits, f"{name}: exit code {found}, wanted {code}: {line[:300]}")
    check(not run.has_traceback, "     no traceback of ours")


STEPS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "doctor": doctor, "engines": engines, "drawn": drawn, "kills": kills, "refusals": refusals,
}  # fmt: skip


def main() -> int:
    """Take the steps and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", default=",".join(STEPS), help="names, joined by commas")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps = options.steps.split(",")
    if unknown := [name for name in steps if name not in STEPS]:
        parser.error(f"unknown step {unknown[0]!r}; known: {', '.join(STEPS)}")
    for name in steps:
        say(f"== {name}: {STEPS[name].__doc__}")
        try:
            STEPS[name](options.out.resolve() / name, options)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            check(False, f"{name}: {type(error).__name__}: {error}")
    say(f"{len(failures)} failed" if failures else "all is as it should be")
    sys.stdout.write("".join(f"  {what}\n" for what in failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
