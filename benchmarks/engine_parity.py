"""One model on five engines, and one engine in two batch sizes: are the numbers the same (docs/engines.md)?

    python -m benchmarks.engine_parity MODEL_FOLDER --out DIR [--dtype float32] [--exams 12] [--batch-sizes 12 1]
        [--serving PYTHON] [--llama-server PROGRAM --gguf FILE] [--only hf-12 vllm …] [--fewer transformers-serve=12 …]

Asks the first exams in hard and easy order at 512 tokens of ``hf`` (in batches of the two sizes), ``vllm`` (as it
schedules, and with no more requests at once than the second size), ``vllm serve``, ``transformers serve`` and
llama.cpp's server, each on a port of its own here and one after another; then prints what ``roi-bench
compare-engines`` says of them, in float32 with the gap of the two largest logits where texts part. It can be stopped
at any time; the same command goes on. ``--serving`` is the Python of an environment with vLLM and
transformers[serving], by default this one; ``--gguf`` holds the same weights in the same number format
(llama.cpp: ``convert_hf_to_gguf.py --outtype f32``); its cache is of float32 with float32, else what
the server takes by itself. ``--fewer`` asks less of an engine that is slow; a pair is compared on the
exams that both were asked.

The page's bfloat16 runs, except the first row of SmolLM2, had ``MALLOC_MMAP_THRESHOLD_=1073741824
MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456`` in their environment; without these settings glibc gives
large tensors back to the system after each use. ``vllm serve`` is started as ``vllm.entrypoints.openai.api_server``.

The exams come from ROI_BENCH_DATA_DIR or the hub; MODEL_FOLDER has a chat template.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TASK, CONTEXT = "roi_exam_hard_512", 2048
START = 900.0
"""Seconds that a server may take to load its model."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to ask the model: the options of ``roi-bench run``, and the server that has to be there, if any."""

    name: str
    options: list[str]
    server: list[str] | None = None


def contenders(options: argparse.Namespace, port: int) -> list[Contender]:
    """Return all ways to ask, those whose programs were not named left out."""
    model, dtype = options.model, options.dtype
    local = f"pretrained={model},dtype={dtype}"
    vllm = f"{local},enforce_eager=True,max_model_len={CONTEXT}"
    address = f"base_url=http://127.0.0.1:{port}/v1,tokenizer={model},num_concurrent=16,timeout=3600"
    served = ["--dtype", dtype, "--port", str(port), "--host", "127.0.0.1"]
    serve = [options.serving, "-m"]
    # what "vllm serve" starts, which the CPU build cannot: it asks for a distribution called vllm
    vllm_serve = [*serve, "vllm.entrypoints.openai.api_server", "--model", str(model), *served]
    vllm_serve += ["--served-model-name", "served", "--enforce-eager", "--max-model-len", str(CONTEXT)]
    found = [
        *(
            Contender(f"hf-{size}", ["--model", "hf", "--model_args", local, "--batch_size", str(size)])
            for size in options.batch_sizes
        ),
        Contender("vllm", ["--model", "vllm", "--model_args", vllm]),
        Contender(
            f"vllm-{options.batch_sizes[1]}",
            ["--model", "vllm", "--model_args", vllm, "--batch_size", str(options.batch_sizes[1])],
        ),
        Contender("vllm-serve", ["--model", "roi-api", "--model_args", f"model=served,{address}"], vllm_serve),
        Contender(
            "transformers-serve",
            ["--model", "roi-api", "--model_args", f"model={model},{address},server=transformers"],
            [*serve, "transformers.cli.transformers", "serve", *served],
        ),
    ]
    if options.llama_server and options.gguf:
        llama = [options.llama_server, "-m", str(options.gguf), "--host", "127.0.0.1", "--port", str(port)]
        llama += ["-c", str(8 * CONTEXT), "-np", "8", "--jinja"]
        llama += ["-ctk", "f32", "-ctv", "f32", "-fa", "off"] if dtype == "float32" else []
        found.append(Contender("llama.cpp", ["--model", "roi-api", "--model_args", f"model=served,{address}"], llama))
    return [one for one in found if not options.only or one.name in options.only]


@contextlib.contextmanager
def serving(command: Sequence[str] | None, port: int, log: Path) -> Iterator[None]:
    """Run a server in the block, from the time when it answers.

    Raises:
        RuntimeError: It ended, or did not answer in time.
    """
    if command is None:
        yield
        return
    with log.open("ab") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        begin = time.monotonic()
        while not _answers(port):
            if child.poll() is not None or time.monotonic() - begin > START:
                raise RuntimeError(f"{' '.join(command[:4])} … does not serve; see {log}")
            time.sleep(1)
        yield
    finally:
        child.terminate()
        child.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code != 503  # loading; transformers serve answers 500 where no model was ever fetched from the hub
    except (urllib.error.URLError, OSError):
        return False


def kept_port(out: Path) -> int:
    """Return a port that nobody listens on; the same at every start, since a server's address is part of the run."""
    path = out / "port"
    if path.exists():
        return int(path.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(str(port))
    return port


def run_exams(contender: Contender, options: argparse.Namespace, port: int) -> None:
    """Ask everything of one engine, unless its results are there."""
    out = options.out / contender.name
    if list(out.rglob("results_*.json")):
        return
    out.mkdir(parents=True, exist_ok=True)
    print(f"{contender.name} …", flush=True)
    command = [sys.executable, "-m", "roi_bench", "run", *contender.options, "--tasks", TASK, "--apply_chat_template"]
    exams = options.fewer.get(contender.name, options.exams)
    command += ["--limit", str(exams), "--output_path", str(out)]
    with serving(contender.server, port, out / "server.log"):
        subprocess.run(command, check=True)


def main() -> None:
    """Ask every engine, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--exams", type=int, default=12)
    parser.add_argument("--batch-sizes", type=int, nargs=2, default=(12, 1))
    parser.add_argument("--serving", default=sys.executable)
    parser.add_argument("--llama-server")
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--fewer", nargs="+", default=[], metavar="NAME=EXAMS")
    options = parser.parse_args()
    options.fewer = {name: int(exams) for name, exams in (pair.split("=") for pair in options.fewer)}
    port = kept_port(options.out)
    asked = contenders(options, port)
    for contender in asked:
        run_exams(contender, options, port)
    folders = [str(options.out / contender.name) for contender in asked]
    compare = [sys.executable, "-m", "roi_bench", "compare-engines", *folders, "--out", str(options.out / "compared")]
    if options.dtype == "float32":  # in 16 bits most texts part somewhere, and each takes seconds
        compare += ["--logits", str(options.model)]
    subprocess.run(compare, check=True)


if __name__ == "__main__":
    main()
