"""What roi-api adds to a provider's own time and memory: throughput against a server of known delay, and 20,000 mocks.

    python benchmarks/api_client.py throughput [--concurrency 32] [--delay 1] [--requests 960]
    python benchmarks/api_client.py memory [--requests 20000]
    python benchmarks/api_client.py beside [--concurrency 32] [--delay 1] [--requests 960]

``throughput`` starts the OpenAI-compatible server of the tests in a process of its own and compares the rate of a run
(requests, journal with one synced write a batch, progress) with what the delay alone allows (concurrency / delay) and
with litellm alone: as many workers that call ``litellm.acompletion`` for the same prompts and keep nothing.
``memory`` lets litellm mock every response and prints the resident memory while the run goes on. ``beside`` asks the
same exams of the same server with whole processes, ``roi-bench run --model roi-api`` and plain ``lm_eval --model
local-chat-completions`` with the same concurrency, in turn, and says how long each took and what it lost. More than 960
requests are those of two tasks that share none, since ``roi-bench run`` would send shared ones once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESPONSE = "### Problem 1\n" + "29 30 *53\n11 29 -8\n" * 40 + "\\boxed{69}\n"
"""A response of the length of a real one, about 800 characters."""

MOST_OF_A_TASK = 960
"""Requests of a whole task."""


def instances(count: int) -> list[Any]:
    """Return ``count`` different requests of the size of an exam's."""
    from lm_eval.api.instance import Instance

    from roi_bench.scoring.prompts import exam_prompt

    generation = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 512}
    return [
        Instance("generate_until", {}, (exam_prompt([f"Question {number}-{k}?" for k in range(3)], 512), generation), 0)
        for number in range(count)
    ]


@contextlib.contextmanager
def server(delay: float) -> Iterator[str]:
    """Run the tests' provider in a process of its own and give its base URL."""
    command = [sys.executable, "-m", "tests.api.provider_server", "--delay", str(delay)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        if child.stdout is None:
            raise RuntimeError("no output of the server")
        yield child.stdout.readline().strip()
        child.terminate()


def ask(lm: Any, count: int, folder: Path) -> float:
    """Ask ``count`` requests through the journal and return the seconds that it took."""
    from roi_bench.harness.engines.api import ApiEngine
    from roi_bench.harness.journaled_model import JournaledModel
    from roi_bench.records.journal import Header, Journal

    requests = instances(count)
    with Journal(folder / f"journal-{count}.jsonl", Header({"benchmark": count}), slim=True) as journal:
        begin = time.perf_counter()
        responses = JournaledModel(ApiEngine(lm), journal).generate_until(requests)
        seconds = time.perf_counter() - begin
    if any(response is None for response in responses):
        raise RuntimeError("a response is missing")
    return seconds


def litellm_alone(url: str, concurrency: int, count: int) -> float:
    """Ask the same with nothing but litellm, and return the seconds that it took."""
    import litellm

    prompts = iter([request.args[0] for request in instances(count)])
    shared: dict[str, Any] = {"model": "openai/a-model", "api_base": url, "api_key": "none", "max_tokens": 512}

    async def work() -> None:
        for prompt in prompts:
            messages = [{"role": "user", "content": prompt}]
            await litellm.acompletion(messages=messages, temperature=0.0, max_retries=0, **shared)

    async def work_together() -> float:
        begin = time.perf_counter()
        try:
            await asyncio.gather(*(work() for _ in range(concurrency)))
            return time.perf_counter() - begin
        finally:
            await litellm.close_litellm_async_clients()
            litellm.in_memory_llm_clients_cache.flush_cache()

    return asyncio.run(work_together())


def throughput(concurrency: int, delay: float, count: int) -> tuple[float, float]:
    """Print and return the measured rate as a share of what the delay allows, and as a multiple of litellm's alone."""
    from roi_bench.harness.engines.api_model import ApiLM
    from roi_bench.harness.model_loading import collect_garbage_again

    with server(delay) as url, tempfile.TemporaryDirectory() as folder:
        lm = ApiLM(model="a-model", base_url=url, num_concurrent=concurrency)
        ask(lm, concurrency, Path(folder))  # the first round opens connections and imports what litellm imports late
        collect_garbage_again()  # as roi-bench run does
        start = time.process_time()
        seconds = ask(lm, count, Path(folder))
        middle = time.process_time()
        alone = litellm_alone(url, concurrency, count)
        cpu = [1000 * taken / count for taken in (middle - start, time.process_time() - middle)]
    rate, ideal = count / seconds, concurrency / delay
    share = (delay + (count - 1) * delay / concurrency) / seconds  # the first request goes alone
    print(f"{count} requests, concurrency {concurrency}, delay {delay:g} s: {ideal:.1f}/s is what the delay allows")
    print(f"  run            {rate:5.1f}/s, {rate / ideal:.1%}; {share:.1%} with its first request, which goes alone")
    print(f"  litellm alone  {count / alone:5.1f}/s, {count / alone / ideal:.1%}")
    print(f"  CPU a request  {cpu[0]:.1f} ms; litellm alone {cpu[1]:.1f} ms")
    return share, alone / (seconds - delay)


def beside(concurrency: int, delay: float, count: int) -> float:
    """Print how long whole runs took and what they lost; return plain lm_eval's time as a multiple of ours."""
    tasks = ("roi_tiny_hard_128", "roi_tiny_hard_256")[: 1 + (count > MOST_OF_A_TASK)]
    limit = str(count // 2 // len(tasks))
    shared = ("--tasks", ",".join(tasks), "--limit", limit, "--log_samples", "--apply_chat_template")
    seconds: dict[str, list[float]] = {}
    with server(delay) as url, tempfile.TemporaryDirectory() as folder:
        address = {"roi_bench run": url, "lm_eval run": f"{url}/chat/completions"}
        for number in range(2):
            for program, model in (("roi_bench run", "roi-api"), ("lm_eval run", "local-chat-completions")):
                out = Path(folder) / f"{model}{number}"
                args = f"model=a-model,base_url={address[program]},num_concurrent={concurrency}"
                command = [sys.executable, "-m", *program.split(), "--model", model, "--model_args", args, *shared]
                begin = time.perf_counter()
                command += ["--output_path", str(out)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                seconds.setdefault(model, []).append(time.perf_counter() - begin)
                if done.returncode:
                    raise RuntimeError(done.stderr[-2000:])
                lines = [line for path in out.rglob("samples_*.jsonl") for line in path.open(encoding="utf-8")]
                texts = [text for line in lines for request in json.loads(line)["resps"] for text in request]
                have = sum(text.startswith("reply to") for text in texts)
                print(f"{model:>24}: {seconds[model][-1]:6.1f} s, {have} of {count} responses", flush=True)
    ratio = sum(seconds["local-chat-completions"]) / sum(seconds["roi-api"])
    print(f"plain lm_eval / run: {ratio:.2f} (concurrency {concurrency}, delay {delay:g} s, start to results)")
    return ratio


def resident_bytes() -> int:
    """Return this process's resident memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(count: int) -> list[tuple[int, int]]:
    """Print and return ``(finished requests, resident bytes)`` after each tenth of the run."""
    from roi_bench.api.gateway import Gateway
    from roi_bench.harness.engines.api_model import ApiLM

    readings: list[tuple[int, int]] = []
    done = 0

    class Mocked(Gateway):
        """Lets litellm mock the response, and looks at the memory now and then."""

        async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Any:
            nonlocal done
            done += 1
            if done % (count // 10) == 0:
                readings.append((done, resident_bytes()))
                print(f"{done:>7} requests: {readings[-1][1] / 2**20:7.1f} MiB", flush=True)
            return await super().complete(prompt, {**parameters, "mock_response": RESPONSE})

    lm = ApiLM(model="gpt-4o-mini", num_concurrent=32)
    lm.gateway = Mocked(lm.settings)
    with tempfile.TemporaryDirectory() as folder:
        seconds = ask(lm, count, Path(folder))
    (first, low), (last, high) = readings[0], readings[-1]
    print(f"{count / seconds:.0f}/s; {(high - low) / (last - first) / 1024:.2f} KiB a request from {first} to {last}")
    return readings


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("throughput", "memory", "beside"))
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--delay", type=float, default=1.0, help="seconds before any answer")
    parser.add_argument("--requests", type=int)
    options = parser.parse_args()
    if options.what == "throughput":
        throughput(options.concurrency, options.delay, options.requests or 30 * options.concurrency)
    elif options.what == "beside":
        beside(options.concurrency, options.delay, min(2 * MOST_OF_A_TASK, options.requests or MOST_OF_A_TASK))
    else:
        memory(options.requests or 20_000)


if __name__ == "__main__":
    main()
