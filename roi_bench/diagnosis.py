"""Findings about an installation, and what follows from them: the pure part of ``roi-bench doctor``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

Status = Literal["ok", "note", "problem", "broken"]
"""``note``: good to know; ``problem``: something will not work; ``broken``: nothing will, the exit code is 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: ``versions``, ``bridge``, ``tasks``, ``data``, ``model`` or ``machine``.
        name: What was looked at.
        status: How it is.
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
    """Return what a distribution always needs, and what each of its extras adds.

    Args:
        requirements: Requirement lines as in a distribution's metadata. Those for other machines are left out.
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
        requirement: The distribution and the versions wanted of it.
        installed: The version that is here; None if it is not.
        extra: The extra that asks for it; empty if roi-bench cannot do without.
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


def judge_disk(name: str, free_bytes: int, wanted_bytes: int) -> Finding:
    """Return whether the free space at ``name`` is enough."""
    detail = f"{free_bytes / 1e9:.1f} GB free"
    if free_bytes >= wanted_bytes:
        return Finding("machine", name, "ok", detail)
    advice = f"free some space (below {wanted_bytes / 1e9:.1f} GB a run may end in the middle; it can be resumed)"
    return Finding("machine", name, "problem", detail, advice)
