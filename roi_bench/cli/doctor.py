"""``roi-bench doctor``: check this installation and say what to do about each problem."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from roi_bench.harness.installation import Finding

MARKS = {"ok": ("ok", "green"), "note": ("note", "cyan"), "problem": ("PROBLEM", "yellow"), "broken": ("BROKEN", "red")}

SLOW = {
    "check_vllm": "importing vLLM (10–60 s)",
    "check_discovery": "listing lm_eval's tasks and taking one exam (10–60 s)",
    "check_data": "reading every problem (5–30 s)",
    "check_machine": "asking torch for a GPU (2–20 s)",
}
"""What the slow checks are doing, said before each."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--quick", is_flag=True, help="Skip the slow checks: importing vLLM, all tasks, and the data.")
def doctor(as_json: bool, quick: bool) -> int:
    """Check versions, task discovery, data, tokenizer, GPU and disk, and say what to do about each problem.

    Ends with exit code 1 if something essential is broken.
    """
    from roi_bench.harness.installation import as_document, exit_code

    findings = []
    area = ""
    for finding in _examine(quick):
        findings.append(finding)
        if not as_json:
            area = _print(finding, area)
    if as_json:
        click.echo(json.dumps(as_document(findings), indent=2))
    else:
        counts: Counter[str] = Counter(finding.status for finding in findings)
        named = {"note": "notes", "problem": "problems"}  # in the plural; "ok" and "broken" have none
        shown = [status for status in ("ok", "note", "problem", "broken") if counts[status]]
        words = [f"{counts[one]} {one if counts[one] == 1 else named.get(one, one)}" for one in shown]
        click.echo(f"\n{len(findings)} checks: {', '.join(words)}")
    return exit_code(findings)


def _examine(quick: bool) -> Iterator[Finding]:
    """Yield the findings of every check; a check that fails itself is a finding too."""
    from roi_bench.harness import installation
    from roi_bench.harness.installation import Finding

    checks: list[Callable[[], Iterator[Finding]]] = [installation.check_versions]
    if not quick and installation.has_vllm():
        checks += [installation.check_vllm]
    checks += [installation.check_bridge]
    if not quick:
        checks += [installation.check_discovery, installation.check_data]
    checks += [installation.check_model, installation.check_machine]
    for check in checks:
        if slow := SLOW.get(check.__name__):
            click.echo(f"roi-bench: {slow} …", err=True)
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - one sick organ must not end the examination
            name = check.__name__.removeprefix("check_")
            detail = f"the check itself failed: {type(error).__name__}: {error}"
            yield Finding(name, "check", "broken", detail, "please report this")


def _print(finding: Finding, area: str) -> str:
    """Print one finding, with a heading where its area is a new one, and return its area."""
    if finding.area != area:
        click.secho(f"\n{finding.area}", bold=True)
    mark, colour = MARKS[finding.status]
    click.echo(f"  {click.style(f'{mark:<8}', fg=colour)}{finding.name}: {finding.detail}")
    if finding.advice:
        click.echo(f"          → {finding.advice}")
    return finding.area
