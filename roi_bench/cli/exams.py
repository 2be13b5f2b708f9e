"""``roi-bench exams``: build, verify, list and show exams."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roi_bench.exams.exam import Exam, Problem
    from roi_bench.exams.manifest import Manifest

SOURCE = click.option("--source", help="'hub' or a data folder (default: ROI_BENCH_DATA_DIR, else the hub).")

SHOWN = 20
"""Differing problems that ``verify`` lists."""


@click.group()
def exams() -> None:
    """Build, verify, list and show exams."""


@exams.command()
@click.option("--seed", type=int, help="Seed (default: that of the frozen manifest).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write (default: stdout).")
@click.option("--fresh", is_flag=True, help="Freeze what the installed reasoning-gym generates instead.")
@SOURCE
def build(seed: int | None, out: Path | None, fresh: bool, source: str | None) -> None:
    """Build the manifest of exam version 1 from the pools; without options, byte for byte the frozen one."""
    if fresh:
        from roi_bench.exams.fresh import FROZEN_FILE as FROZEN
        from roi_bench.exams.fresh import freeze

        if seed is not None:
            raise click.UsageError("--fresh freezes seed 0 and takes no --seed")
        text = freeze()
    else:
        from roi_bench.exams.manifest import MANIFEST_FILE as FROZEN
        from roi_bench.exams.manifest import MANIFEST_SEED, build_manifest, manifest_text

        evaluation, training = (_pools(split, source) for split in ("evaluation", "training"))
        text = manifest_text(build_manifest(evaluation, training, MANIFEST_SEED if seed is None else seed))
    _write(text.encode("utf-8"), out)
    same = text == _frozen_text(FROZEN)
    click.echo(f"{'the same as' if same else 'different from'} {FROZEN} of this package", err=True)


@exams.command()
@SOURCE
def verify(source: str | None) -> None:
    """Check every pool and every problem of the manifest against what is frozen; exits with 3 on any difference."""
    from roi_bench.errors import DataError
    from roi_bench.exams.manifest import differences, load_manifest
    from roi_bench.exams.pools import resolve_source

    manifest = load_manifest()
    click.echo(f"source: {resolve_source(source)}")
    pools: dict[str, dict[str, Problem]] = {}
    failures = list(_verify_pools(manifest, source, pools))
    changed = differences(manifest, pools)
    checked = sum(frozen.pool in pools for frozen in manifest.problems.values())
    click.echo(
        f"exam version {manifest.version}: {len(manifest.triples)} exams, {len(manifest.problems)} problems, "
        f"{checked} checked, {len(changed)} missing or changed"
    )
    for message in changed[:SHOWN]:
        click.echo(f"  {message}")
    if len(changed) > SHOWN:
        click.echo(f"  and {len(changed) - SHOWN} more")
    if failures or changed:
        raise DataError(
            f"{len(failures)} pool(s) and {len(changed)} problem(s) of the manifest are not as frozen; "
            f"first: {(failures + changed)[0]}"
        )


def _verify_pools(manifest: Manifest, source: str | None, pools: dict[str, dict[str, Problem]]) -> Iterator[str]:
    """Print a line for each pool file, put the evaluation pools into ``pools`` and yield what is wrong."""
    from roi_bench.errors import DataError
    from roi_bench.exams.pools import load_pool, pool_fingerprint

    for key, (count, fingerprint) in manifest.pools.items():
        pool, split = key.split("/")
        try:
            problems = load_pool(pool, split, source)
        except DataError as error:
            click.echo(f"{key}: cannot be read")
            yield str(error)
            continue
        if split == "evaluation":
            pools[pool] = problems
        found = pool_fingerprint(problems)
        if (len(problems), found) == (count, fingerprint):
            click.echo(f"{key}: {count} problems, as frozen")
        else:
            click.echo(f"{key}: {len(problems)} problems, NOT as frozen ({count} problems)")
            yield f"pool {key} has {len(problems)} problems with sha256 {found}, frozen are {count} with {fingerprint}"


@exams.command("list")
@click.option("--set", "exam_set", default="v1", show_default=True, help="v1, fresh or tiny.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of a generated set.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first exams.")
def list_(exam_set: str, seed: int, limit: int | None) -> None:
    """List exams: id, medium permutation and the ids of the easy, middle and hard problem, separated by tabs."""
    if exam_set == "v1" and seed == 0:  # needs no pool
        from roi_bench.exams.manifest import load_manifest

        rows: list[tuple[str, ...]] = [
            (name, triple.medium, *triple.ids) for name, triple in load_manifest().triples.items()
        ]
    else:
        from roi_bench.exams.sets import load_exams

        rows = [
            (exam.id, exam.medium, *(item.id for item in exam.problems)) for exam in load_exams(exam_set, seed=seed)
        ]
    for row in rows[:limit]:
        click.echo("\t".join(row))


@exams.command()
@click.argument("exam_id", metavar="ID")
@click.option("--order", default="hard", show_default=True, help="easy, medium or hard.")
@click.option("--budget", type=click.IntRange(min=1), default=512, show_default=True, help="Budget in tokens.")
@click.option("--prompt", default="direct", show_default=True, help="Name of the prompt.")
@click.option(
    "--paraphrase", default=0, show_default=True, help="Number of a paraphrase of it; 0 is the prompt itself."
)
@click.option("--messages", is_flag=True, help="Print what chat templates and chat endpoints are given, as JSON.")
@click.option("--answers", is_flag=True, help="Show the accepted answers as well.")
@SOURCE
def show(
    exam_id: str,
    order: str,
    budget: int,
    prompt: str,
    paraphrase: int,
    messages: bool,
    answers: bool,
    source: str | None,
) -> None:
    """Show an exam by its ID: v1/000, fresh/SEED/000, tiny/SEED/000 or train/SEED/000.

    Prints its prompt as sent without a chat template (one for each problem where they are asked alone) to stdout and
    all about it to stderr. With --messages: as sent through a chat template or to a chat endpoint, one list a line.
    """
    import json

    from roi_bench.exams.sets import find_exam
    from roi_bench.scoring.kinds import KINDS
    from roi_bench.scoring.outcomes import level_bounds
    from roi_bench.scoring.prompts import as_text, exam_messages, find_prompt

    together = KINDS[find_prompt(prompt, paraphrase).kind].together
    exam = find_exam(exam_id, source=source)
    questions = [problem.question for problem in exam.ordered(order)]
    bounds = level_bounds(exam.problems[0].pool)
    _describe(exam, order, answers)
    for asked in [questions] if together else [[question] for question in questions]:
        found = exam_messages(asked, budget, prompt, bounds, paraphrase=paraphrase)
        click.echo(json.dumps(found, ensure_ascii=False) if messages else as_text(found), nl=messages)


def _describe(exam: Exam, order: str, answers: bool) -> None:
    click.echo(f"exam {exam.id}, {order} order, medium permutation {exam.medium}, cluster {exam.cluster}", err=True)
    for position, (problem, tier) in enumerate(zip(exam.ordered(order), exam.tiers(order), strict=True), start=1):
        level = f", level {problem.level}" if problem.level is not None else ""
        click.echo(f"  {position}. {problem.id} ({tier}{level}), sha256 {problem.sha256}", err=True)
        if answers:
            click.echo(f"     answer {' or '.join(problem.answers)}", err=True)


def _pools(split: str, source: str | None) -> dict[str, dict[str, Problem]]:
    from roi_bench.exams.exam import POOL_TIERS
    from roi_bench.exams.pools import load_pool

    return {pool: load_pool(pool, split, source) for pool in POOL_TIERS}


def _write(content: bytes, out: Path | None) -> None:
    """Write to stdout, or to ``out`` in one step, so that a failure leaves an old file as it was."""
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    from roi_bench.machine import write_atomically

    write_atomically(out, content)


def _frozen_text(name: str) -> str | None:
    from importlib import resources

    file = resources.files("roi_bench") / "data" / name
    return file.read_text(encoding="utf-8") if file.is_file() else None
