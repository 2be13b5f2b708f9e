"""``roi-bench run``: lm_eval's evaluation with exact token counts, each distinct request sent once, and a journal."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from roi_bench.api.limits import usd_text
from roi_bench.api.settings import ApiSettings
from roi_bench.errors import DependencyError, ModelError, UsageError
from roi_bench.harness.ending import EndedEarlyError, ended_by_signals
from roi_bench.harness.engines.api import maybe_paid, paid
from roi_bench.harness.engines.protocol import Engine
from roi_bench.harness.processes import Processes, place, processes_of
from roi_bench.harness.releases import evaluate, model_name, set_up_logging
from roi_bench.harness.run_arguments import RunArguments, parse_arguments
from roi_bench.harness.task import RoiTask
from roi_bench.records.journal import Entry, Header, Journal, RequestKey, read_journal, read_starts
from roi_bench.scoring.costs import task_cost
from roi_bench.scoring.statistics import Estimate
from roi_bench.scoring.task_settings import temperature_of

# The cost of a run of an API model, for its results file and its last lines.


def cost_of_run(samples: Mapping[str, Sequence[Mapping[str, Any]]], journal: Journal) -> dict[str, Any] | None:
    """Return the cost of the run and of each task; None where no response has a known cost.

    ``total_usd`` counts each response once, though tasks share those in easy order; ``lost_usd`` is the most that
    attempts without a response may have cost besides. A task's ``usd`` is that of the responses that its score counts.
    """
    found = {name: task_cost(task) for name, task in samples.items()}
    tasks = {name: cost.as_document() for name, cost in found.items() if cost is not None}
    if not tasks and not maybe_paid(journal):
        return None
    return {"total_usd": paid(journal), "lost_usd": maybe_paid(journal), "tasks": tasks}


def cost_lines(cost: Mapping[str, Any] | None, model: Any) -> list[str]:
    """Return the cost of a run of ``model`` as lines to print; none for a model that costs no money."""
    if cost is None:
        settings = getattr(model, "settings", None)
        if not isinstance(settings, ApiSettings):
            return []
        known = getattr(model, "price", None) is not None
        return ["cost: none yet" if known else f"cost: unknown, as no price of {settings.model} is known"]
    lost = f", at most {usd_text(cost['lost_usd'])} more for lost attempts" if cost["lost_usd"] else ""
    lines = [f"cost: {usd_text(cost['total_usd'])} for all responses, easy order included{lost}"]
    for name, task in cost["tasks"].items():
        per_correct = task["usd_per_correct"]
        shown = "n/a" if per_correct is None else usd_text(per_correct)
        unknown = f", without responses of unknown cost ({task['unknown']})" if task["unknown"] else ""
        own = " in its own order" if task["usd_easy"] else ""
        lines.append(f"  {name}: {usd_text(task['usd'])}{own}, {shown} per correct answer{unknown}")
    return lines


MISSING_SHOWN = 10
"""Missing responses that are named one by one."""


def missing_lines(journal: Journal) -> list[str]:
    """Return a line for each missing response: which one, and why."""
    missing = [entry for entry in journal.entries.values() if entry.response is None]
    lines = []
    for entry in missing[:MISSING_SHOWN]:
        named = " ".join(str(entry.extra[name]) for name in ("exam", "order", "problem") if name in entry.extra)
        what = named or f"prompt {entry.key.prompt_sha256[:12]}…"
        lines.append(f"missing: {what}, sample {entry.key.sample}: {entry.extra.get('error', 'no response')}")
    if len(missing) > MISSING_SHOWN:
        lines.append(f"missing: and {len(missing) - MISSING_SHOWN} more")
    return lines


# Sending results to Weights & Biases or Trackio with lm_eval's own loggers, where the command line asks for it.

logger = logging.getLogger(__name__)


def log_externally(config: Any, results: dict[str, Any], samples: dict[str, Any]) -> None:
    """Log results and samples to the services that ``config`` (lm_eval's) names; a failure there is only a warning."""
    loggers = []
    if config.wandb_args:
        from lm_eval.loggers import WandbLogger

        loggers.append(("Weights & Biases", WandbLogger(config.wandb_args, config.wandb_config_args)))
    if getattr(config, "trackio_args", None):  # not in every release
        from lm_eval.loggers import TrackioLogger

        loggers.append(("Trackio", TrackioLogger(config.trackio_args)))
    for name, service in loggers:
        try:
            service.post_init(results)
            service.log_eval_result()
            service.log_eval_samples(samples)
            finish = getattr(service, "finish", None) or service.run.finish
            finish()
        except Exception as error:  # noqa: BLE001 - the services fail in their own ways, and the results are safe on disk
            logger.warning("logging to %s failed: %s", name, error)


# Which tasks a model can take: an exam that it cannot take is "not applicable", never scored 0.


def applicable_tasks(
    tasks: Sequence[Any], engine: Engine, gen_kwargs: Mapping[str, Any] | None
) -> tuple[list[Any], dict[str, str]]:
    """Return the tasks that ``engine`` can take, and why it cannot take the others, by name.

    Args:
        tasks: lm_eval tasks and groups, loaded.
        engine: The engine.
        gen_kwargs: Generation arguments of the command line.

    Raises:
        ModelError: It can take none of them, or only with other parameters.
    """
    reasons: dict[str, str] = {}
    context = engine.facts.get("max_model_len")
    for task in budget_tasks(tasks):
        task.engine_context = context
        if gen_kwargs:
            task.set_config(key="generation_kwargs", value=dict(gen_kwargs), update=True)
        if reason := engine.why_not(task.config.generation_kwargs):
            reasons[str(task.config.task)] = reason
    if not reasons:
        return list(tasks), {}
    left = [task for task in _leaves(tasks) if str(task.config.task) not in reasons]
    if not left:
        name, reason = next(iter(reasons.items()))
        raise ModelError(f"not applicable, nothing was sent: {name}: {reason}")
    return left, reasons


PLAYED_BACK = "roi-playback"
"""lm_eval's name of the model that plays recorded responses back; its samples are whatever was recorded."""


def refuse_equal_samples(tasks: Sequence[Any], gen_kwargs: Mapping[str, Any] | None, model: str) -> None:
    """Refuse to ask greedily for several samples, which would be copies of one; what the model itself decides may pass.

    Raises:
        UsageError: A task asks for them.
    """
    for task in budget_tasks(tasks):
        generation = {**task.config.generation_kwargs, **(gen_kwargs or {})}
        own = "temperature" in str((task.config.metadata or {}).get("omit") or "") or task.settings.decoding == "model"
        greedy = not generation.get("do_sample") and not temperature_of(generation)
        if task.settings.repeats > 1 and greedy and not own and model != PLAYED_BACK:
            raise UsageError(
                f"{task.config.task}: {task.settings.repeats} samples (repeats) of greedy decoding would all be equal; "
                "add --gen_kwargs do_sample=True,temperature=0.7, or leave repeats out"
            )


def budget_tasks(tasks: Sequence[Any]) -> list[RoiTask]:
    """Return the tasks of this benchmark among ``tasks``; names, as in lm_eval's integrity check, are ignored."""
    return [task for task in _leaves(tasks) if isinstance(task, RoiTask)]


def _leaves(tasks: Sequence[Any]) -> list[Any]:
    return [leaf for item in tasks for leaf in (item.get_all_tasks() if hasattr(item, "get_all_tasks") else [item])]


def run(arguments: Sequence[str]) -> None:
    """Run an evaluation by the command line ``arguments``, write its results and print them.

    Raises:
        RoiBenchError: An expected failure; finished responses are in the journal.
        KeyboardInterrupt: Ctrl-C; the message says how to go on.
    """
    # Importing torch and transformers makes millions of objects that stay: collecting garbage meanwhile takes a quarter
    # of the time to the first request and finds nothing. It is switched on again before weights are loaded.
    gc.disable()
    try:
        with ended_by_signals():
            _run(arguments)
    finally:
        gc.enable()


def _run(arguments: Sequence[str]) -> None:
    parsed = parse_arguments(arguments)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    set_up_logging(parsed.config.verbosity)
    from roi_bench.harness import bridge
    from roi_bench.harness.model_loading import engine_of, load_model, shown_arguments
    from roi_bench.harness.run_arguments import load_tasks, select_tasks

    bridge.install()
    config = parsed.config
    manager, selected = select_tasks(config.tasks, config.include_path, config.metadata)
    config.tasks = selected
    tasks = selected if config.check_integrity else load_tasks(manager, selected)
    refuse_equal_samples(tasks, config.gen_kwargs, config.model)
    began = time.monotonic()
    _notify_once(f"loading {config.model} {shown_arguments(config.model_args)}".rstrip() + " …")
    lm = load_model(config)
    processes = processes_of(lm, config.model, config.model_args)
    engine = engine_of(lm, seed=_sampling_seed(config), batch_size=parsed.batch_size, longest=_longest(tasks))
    _notify_once(f"loaded in {time.monotonic() - began:.0f} s")
    try:
        _evaluate_with_journal(parsed, tasks, manager, engine, processes)
    finally:
        engine.close()
    _leave_process_group()


def _evaluate_with_journal(
    parsed: RunArguments, tasks: list[Any], manager: Any, engine: Engine, processes: Any
) -> None:
    """Evaluate with an open journal, and say what is kept if the run ends early."""
    from roi_bench.harness.journaled_model import JournaledModel
    from roi_bench.harness.model_loading import check_tokenizer

    config = parsed.config
    check_tokenizer(engine.lm, config.model_args)
    if engine.takes_messages and not config.apply_chat_template:
        config.apply_chat_template = True  # the text form of a prompt is for models that continue text
    not_applicable: dict[str, str] = {}
    if not config.check_integrity:
        tasks, not_applicable = applicable_tasks(tasks, engine, config.gen_kwargs)
    for name, reason in not_applicable.items():
        _notify(f"{name} is not applicable and left out: {reason}")
    journal, recorded = open_journal(parsed, engine, processes)
    with journal:
        try:
            model = JournaledModel(
                engine,
                journal,
                recorded=recorded,
                processes=processes,
                show_progress=process_index(engine.lm) == 0,
                preview=parsed.dry_run,
            )
            _evaluate(parsed, tasks, manager, engine, model, not_applicable)
        except EndedEarlyError as ended:
            sys.stderr.write(f"roi-bench: {ended}\n")
            if parsed.dry_run:
                shutil.rmtree(journal.path.parent)
        except KeyboardInterrupt as error:
            raise type(error)(f"{str(error) or 'interrupted'}; {_what_is_kept(journal.path)}") from error
        except DependencyError as error:  # grading needs what is not there, after all was asked
            raise DependencyError(f"{error}; {_what_is_kept(journal.path)}") from error


def _what_is_kept(journal: Path) -> str:
    finished = sum(entry.response is not None for entry in read_journal(journal)[1].values())
    return f"finished responses are in {journal} ({finished} so far); run the same command again to go on from there"


def _leave_process_group() -> None:
    """Leave the process group of a launch; torch may abort a process that ends without doing so."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def open_journal(
    parsed: RunArguments, engine: Engine, processes: Processes | None = None
) -> tuple[Journal, dict[RequestKey, Entry]]:
    """Return this process's journal, and the responses that other processes of the run recorded, in any launch.

    Raises:
        ModelError: The engine cannot be asked now.
        RecordError: The journal is in use, damaged, or cannot be written.
    """
    from roi_bench.harness.run_record import journals_of_other_versions, run_digest, run_header

    config = parsed.config
    header = run_header(config.model, config.model_args, engine, _sampling_seed(config), {})
    folder = _folder(config)
    if parsed.dry_run:
        return _nowhere(header, folder)
    rank, stem = process_index(engine.lm), f"journal-{run_digest(header)}"
    path = folder / f"{stem}.rank{rank}.jsonl"
    if not path.exists():
        engine.check_ready()
    if rank == 0:
        for line in journals_of_other_versions(folder):
            _notify(line)
        if not parsed.resume:
            for other in sorted(folder.glob(f"{stem}.rank*.jsonl")):
                _supersede(other)
    if processes is not None:
        processes.barrier()
    # the own journal first: its batch size is the one to go on with
    earlier = sorted(folder.glob(f"{stem}.rank*.jsonl"), key=lambda other: (other != path, other))
    recorded: dict[RequestKey, Entry] = {}
    for other in earlier:
        found = read_journal(other)[1] if other != path else {}
        recorded |= {key: entry for key, entry in found.items() if entry.response is not None or key not in recorded}
    if parsed.batch_size is None:
        _keep_batch_size(engine, earlier)
        header = run_header(config.model, config.model_args, engine, _sampling_seed(config), {})
    if processes is not None:
        processes.barrier()  # no process writes before all have read
    journal = Journal(path, header, marks_starts=True, slim=True)
    if rank == 0:
        _announce_resumed(journal, recorded, processes, header.about.get("engine") or {})
    return journal, recorded


def _announce_resumed(
    journal: Journal,
    recorded: Mapping[RequestKey, Entry],
    processes: Processes | None,
    engine: Mapping[str, Any],
) -> None:
    if processes is not None:
        size = processes.world_size
        _notify(f"{size} processes share the requests; each keeps its responses in a journal in {journal.path.parent}")
    own = {key for key, entry in journal.entries.items() if entry.response is not None}
    others = {key for key, entry in recorded.items() if entry.response is not None} - own
    if not own and not others:
        return
    killed = "an earlier start was killed; " if journal.was_abandoned else ""
    _announce_versions([start.about.get("engine") or {} for start in read_starts(journal.path)], engine)
    beside = f" and {len(others)} in journals of other processes beside it" if others else ""
    _notify(f"{killed}responses that are not requested again: {len(own)} in {journal.path}{beside}")


def _announce_versions(earlier: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> None:
    """Name what generated earlier responses of this run in another version than the installed one."""
    for name in ("version", "openai"):
        if others := sorted({str(facts[name]) for facts in earlier if facts.get(name)} - {str(now.get(name))}):
            engine = "litellm" if now.get("name") == "api" else now.get("name")
            package = engine if name == "version" else name
            _notify(f"earlier responses came through {package} {', '.join(others)}, further ones {now.get(name)}")


def _keep_batch_size(engine: Engine, journals: Sequence[Path]) -> None:
    """Keep the batch size that an earlier start found automatically: another one would give other responses."""
    facts = [start.about.get("engine") or {} for path in journals for start in read_starts(path)]
    sizes = [fact.get("batch_size") for fact in facts if fact.get("batch_size_is_automatic")]
    if sizes and isinstance(sizes[0], int):
        engine.keep_batch_size(sizes[0])


def _longest(tasks: Sequence[Any]) -> int:
    """Return the tokens of the longest request, prompt and response; prompts are taken to have 1,024."""

    return 1024 + max((task.settings.budget for task in budget_tasks(tasks)), default=1024)


def _notify_once(line: str) -> None:
    """Say it in the first process of a launch alone, which must be known before there is a model."""
    if not place().rank:
        _notify(line)


def _notify(line: str) -> None:
    sys.stderr.write(f"roi-bench: {line}\n")


def _folder(config: Any) -> Path:
    from roi_bench.harness.run_record import output_folder

    return output_folder(config.output_path, model_name(config.model_args, config.model))


def _nowhere(header: Header, folder: Path) -> tuple[Journal, dict[RequestKey, Entry]]:
    """Return a temporary journal for a dry run, which must not write into ``folder``, and the responses found there."""
    from roi_bench.harness.run_record import run_digest

    recorded: dict[RequestKey, Entry] = {}
    for path in sorted(folder.glob(f"journal-{run_digest(header)}.rank*.jsonl")):
        recorded |= read_journal(path)[1]
    return Journal(Path(tempfile.mkdtemp(prefix="roi-bench-")) / "dry-run.jsonl", header), recorded


def process_index(lm: Any) -> int:
    """Return the index of this process, from the launcher; lm_eval's models know it for one machine at most."""
    return int(place().rank or lm.rank)


def _supersede(path: Path) -> None:
    """Rename an earlier journal to a name that no run reads.

    Raises:
        UsageError: A provider is still working on batches of that run.
    """
    from roi_bench.api.batches import open_batches, record_path

    if waiting := [str(batch.batch_id) for batch in open_batches(path)]:
        raise UsageError(
            f"--no-resume would pay again for what is in batches {', '.join(waiting)}, not fetched yet; fetch them "
            "first (the same command with --provider-batch, without --no-resume), or cancel them at the provider and "
            f"remove {record_path(path)}"
        )
    if path.exists():
        number = 1
        while (aside := path.with_name(f"superseded-{number}-{path.name}")).exists():
            number += 1
        path.rename(aside)


def _evaluate(
    parsed: RunArguments,
    tasks: list[Any],
    manager: Any,
    engine: Engine,
    model: Any,
    not_applicable: Mapping[str, str],
) -> None:
    from lm_eval.loggers import EvaluationTracker

    config = parsed.config
    if token := os.environ.get("HF_TOKEN"):
        config.hf_hub_log_args["token"] = token
    tracker = EvaluationTracker(**{**config.hf_hub_log_args, "output_path": config.output_path})
    seeds = config.seed or [None] * 4
    results = evaluate(
        model,
        tasks,
        manager,
        evaluation_tracker=tracker,
        cache_requests=config.cache_requests.get("cache_requests", False),
        rewrite_requests_cache=config.cache_requests.get("rewrite_requests_cache", False),
        delete_requests_cache=config.cache_requests.get("delete_requests_cache", False),
        random_seed=seeds[0],
        numpy_random_seed=seeds[1],
        torch_random_seed=seeds[2] if "torch" in sys.modules else None,  # seeding would import it for nothing
        fewshot_random_seed=seeds[3],
        **{name: getattr(config, name) for name in _PASSED_ON},
    )
    if results is not None:  # None on all but the first process
        results["config"]["torch_seed"] = seeds[2]
        estimates = {str(task.config.task): task.estimates for task in budget_tasks(tasks)}
        _report(config, results, tracker, model, engine, not_applicable, estimates)


_PASSED_ON = (
    *("model_args", "num_fewshot", "batch_size", "max_batch_size", "device", "use_cache", "limit", "samples"),
    *("check_integrity", "write_out", "log_samples", "system_instruction", "apply_chat_template"),
    *("fewshot_as_multiturn", "gen_kwargs", "verbosity", "predict_only", "confirm_run_unsafe_code", "metadata"),
)
"""Settings that lm_eval's evaluation takes under their own names."""


def _report(
    config: Any,
    results: dict[str, Any],
    tracker: Any,
    model: Any,
    engine: Engine,
    not_applicable: Mapping[str, str],
    estimates: Mapping[str, Mapping[str, Estimate]],
) -> None:
    """Write and print the results.

    Raises:
        RecordError: They could not be written.
        ModelError: Responses are missing; the run is incomplete.
    """
    from roi_bench import __version__
    from roi_bench.harness.run_record import add_usage, count_missing, doubts, drop_doubled_errors, write_results

    samples = results.pop("samples")
    for documents in samples.values():
        documents.sort(key=lambda sample: int(sample["doc_id"]))  # several processes deliver them one after the other
    add_usage(samples)
    drop_doubled_errors(results["results"])
    missing = count_missing(samples)
    tracker.general_config_tracker.model_source = results["config"]["model"] = config.model
    cost = cost_of_run(samples, model.journal)
    results["roi_bench"] = {
        "version": __version__,
        "journal": model.journal.path.name,
        "engine": dict(engine.facts),
        "processes": int(model.world_size),
        "resumed": model.resumed,
        "missing_responses": missing,
        "not_applicable": dict(not_applicable),
        "cost": cost,
        "doubts": doubts(samples),
    }
    log_externally(config, results, samples)
    path = write_results(tracker, results, samples)
    if config.show_config:
        click.echo(path.read_text(encoding="utf-8"))
    _print(config, results, samples, estimates, path, cost_lines(cost, model))
    if missing:
        sys.stderr.write("".join(f"{line}\n" for line in missing_lines(model.journal)))
        raise ModelError(
            f"missing responses: {missing}, so this run is incomplete (their exams are left out of every number but "
            "error); run the same command again: it asks only for the missing ones"
        )


def _print(
    config: Any,
    results: Mapping[str, Any],
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
    estimates: Mapping[str, Mapping[str, Estimate]],
    path: Path,
    cost: Sequence[str],
) -> None:
    """Print the table of a run and, below it, what a reader has to know of its numbers."""
    from roi_bench.harness.model_loading import shown_arguments
    from roi_bench.harness.run_record import doubt_lines, no_answer_lines, print_results, setup_text, trial_lines

    ours = results["roi_bench"]
    lines = [f"{name}: not applicable ({reason})" for name, reason in ours["not_applicable"].items()]
    lines += trial_lines(results["n-samples"], {name: of["score"] for name, of in estimates.items() if "score" in of})
    lines += [*no_answer_lines(samples, path.parent), *doubt_lines(ours["doubts"]), *cost, f"results: {path}"]
    title = f"{config.model} {shown_arguments(config.model_args)}{setup_text(ours['engine'])}"
    print_results(results, title, lines)


def _sampling_seed(config: Any) -> int | None:
    return None if config.seed is None or config.seed[2] is None else int(config.seed[2])
