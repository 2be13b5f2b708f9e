"""The commands that the documentation shows, and how each is run on a machine without the hub, a GPU or an API.

Fenced ``bash`` blocks are commands. ``NAME=…`` lines hold for the commands after them on their page. A run of a model
that is not at hand is run with the shipped tiny model in its place, on two tiny exams; a run through an API is a dry
run. What stays is what a reader copies: the command, its options, names of model arguments, files and folders.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from roi_bench.exams.tiny import model_path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += [ROOT / folder / "README.md" for folder in ("baselines", "findings", "leaderboard", "reference_training")]
PAGES += sorted((ROOT / "docs").glob("*.md"))


@dataclass(frozen=True)
class DocCommand:
    """A command line of a page.

    Attributes:
        page: Path of the page from the project's root.
        text: The line, without comments.
        before: Assignments of the page before it.
        shown: The ``text`` block behind its block, if it is the last command there: what it prints.
    """

    page: str
    text: str
    before: tuple[str, ...] = ()
    shown: str | None = None

    @property
    def words(self) -> list[str]:
        """The words of the line; a variable is a word."""
        return shlex.split(self.text)

    @property
    def run_words(self) -> list[str] | None:
        """The arguments of ``roi-bench run`` or ``lm_eval``, without a launcher; None for other commands."""
        words = self.words
        if words[0] in ("accelerate", "torchrun") and "roi_bench" in words:
            words = ["roi-bench", *words[words.index("roi_bench") + 1 :]]
        if words[:2] == ["roi-bench", "run"]:
            return words[2:]
        return words[1:] if words[0] == "lm_eval" and words[1] != "ls" else None


BLOCK = re.compile(r"^ *```(bash|text)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def doc_commands() -> list[DocCommand]:
    """Return every line of every bash block, continuations joined, without lines that only set a variable."""
    found: list[DocCommand] = []
    for page in PAGES:
        before: list[str] = []
        for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "text":
                found[-1] = replace(found[-1], shown=block)
                continue
            for line in block.replace("\\\n", " ").splitlines():
                text = (shlex.join(shlex.split(line, comments=True)) if "$" not in line else line).strip()
                if re.match(r"[A-Z_]+=\S*\$\(", text):
                    before.append(text)
                elif text:
                    found.append(DocCommand(page.relative_to(ROOT).as_posix(), text, tuple(before)))
    return found


NOT_STARTED = re.compile(
    r"^(pip|bash|git|python -m (venv|build)|python3 -m venv|source|export|pre-commit|for) "  # installations and scripts
    r"|^(vllm|transformers|llama-server) "  # servers, with tests of their own
    r"|^trl "  # tests/test_rewards.py
    r"|^(accelerate|torchrun) (?!.*roi_bench run)"  # training
    r"|^python (-m )?benchmarks|^python scripts"  # measurements and generators
    r"|^roi-bench leaderboard (build leaderboard|serve|review|export|comment)"  # tests/leaderboard
    r"|^roi-bench (submit (check|migrate|pack .*--replaces)|leaderboard)"
    r"|^roi-bench view (?!.*--(list|exam|out))"  # serves until Ctrl-C; tests/cli/test_view.py
    r"|^roi-bench train (?!.*--dry-run)"  # minutes; tests/training
)
"""Commands that are only looked at: their options where they are ours, the files that they name."""

TASKS = {
    r"roi_(exam|fresh)_(hard|medium|solo)_512": r"roi_tiny_\2_128",
    r"roi_(exam|fresh)_(hard|medium|solo)_1024": r"roi_tiny_\2_256",
    r"roi_solo_512": "roi_tiny_solo_128",
    r"roi_solo_1024": "roi_tiny_solo_256",
    r"roi_(exam|fresh)\b": "roi_tiny_hard_128",
    r"roi_(exam|fresh)(_[a-z_]+)$": r"roi_tiny_hard_128\2",
}
"""The tiny task in the place of each other task or group, by pattern."""

OF_ENGINES = (
    *(
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "distributed_executor_backend",
        "max_model_len",
        "quantization",
    ),
    *("lora_local_path", "max_lora_rank", "gguf_file", "peft", "max_num_seqs", "gpu_memory_utilization"),
)
"""Model arguments that say nothing to the tiny model on ``hf``; any other has to work there."""

FEW = 2
"""Exams of a run that stands in for another."""


def stand_in(command: DocCommand) -> str | None:
    """Return the command as a test starts it, None where it is only looked at."""
    arguments = command.run_words
    if arguments is None:
        if NOT_STARTED.search(command.text):
            return None
        draft = " --draft" if command.text.startswith("roi-bench submit pack") else ""
        text = command.text.replace("v1/", "tiny/0/") if command.text.startswith("roi-bench view") else command.text
        return "\n".join([*command.before, text + draft])
    if command.words[0] == "lm_eval" and "roi-api" in arguments:
        return None  # plain lm_eval has no dry run
    if "$" in command.text:  # the shipped model, named as a reader would
        return "\n".join([*command.before, command.text])
    front = ["lm_eval"] if command.words[0] == "lm_eval" else ["roi-bench", "run"]
    return shlex.join([*front, *_changed(arguments)])


def _changed(arguments: list[str]) -> list[str]:
    """Return the arguments of a run with the tiny model in the place of the named one."""
    found = list(arguments)
    values = {name: index + 1 for index, name in enumerate(found) if name.startswith("--")}
    model, model_args = found[values["--model"]], found[values["--model_args"]]
    tiny = str(model_path())
    alone = "_solo_" in found[values["--tasks"]]
    limit = str(3 * FEW if alone else FEW)  # three problems an exam
    if "--limit" in values:
        found[values["--limit"]] = limit
    else:
        found += ["--limit", limit]
    if alone and "--metadata" not in values:
        found += ["--metadata", '{"repeats": 2}']
    if model == "roi-api":
        found[values["--model_args"]] = re.sub(r"\btokenizer=[^,]+", f"tokenizer={tiny}", model_args)
        return found if "--dry-run" in found else [*found, "--dry-run"]
    found[values["--tasks"]] = ",".join(_tiny(name) for name in found[values["--tasks"]].split(","))
    if "--metadata" in values and "budget" in (metadata := json.loads(found[values["--metadata"]])):
        found[values["--metadata"]] = json.dumps({**metadata, "budget": 64})
    given = dict(pair.split("=", 1) for pair in model_args.split(",") if not pair.startswith(OF_ENGINES))
    given |= {name: tiny for name in ("pretrained", "tokenizer") if name in given}
    if model != "roi-playback":
        found[values["--model"]] = "hf"
        given["dtype"] = "float32"
        if "--device" in values:
            found[values["--device"]] = "cpu"
        else:
            found += ["--device", "cpu"]
    found[values["--model_args"]] = ",".join(f"{name}={value}" for name, value in given.items())
    return found


def _tiny(task: str) -> str:
    for pattern, tiny in TASKS.items():
        if re.match(pattern, task):
            return re.sub(pattern, tiny, task)
    return task
