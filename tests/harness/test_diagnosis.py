"""What follows from findings: severity, advice, the exit code."""

import pytest
from packaging.requirements import Requirement

from roi_bench.harness.installation import (
    Finding,
    as_document,
    exit_code,
    judge_disk,
    judge_tasks,
    judge_version,
    split_requirements,
)
from tests.support.messages import shown_in


@pytest.mark.parametrize(
    ("installed", "extra", "status"),
    [
        ("1.84.5", "", "ok"),
        ("1.84.3", "api", "ok"),
        ("1.85.0.dev1", "", "ok"),  # a prerelease of a version within the range counts
        ("1.82.7", "", "broken"),
        ("1.82.7", "api", "problem"),
        (None, "", "broken"),
        (None, "api", "note"),
        ("unknown", "", "broken"),
    ],
)
def test_a_version_is_judged_by_need(installed, extra, status):
    finding = judge_version(Requirement("litellm>=1.84.3,<1.85.1"), installed, extra)
    assert finding.status == status
    assert bool(finding.advice) is (status != "ok")
    assert (installed or "installed") in finding.detail


def test_the_advice_can_be_typed_in():
    assert judge_version(Requirement("numpy>=2"), "1.0").advice == "pip install 'numpy>=2'"
    assert "pip install 'roi-bench[train]'" in judge_version(Requirement("trl"), None, "train").advice


def test_requirements_are_split_by_extra_and_those_of_other_machines_left_out():
    lines = [
        "click>=8",
        "torch>=2.6 ; extra == 'hf'",
        'tomli ; python_version < "3.0"',
        'trl ; python_version > "3.0" and extra == "train"',
        'old ; python_version < "3.0" and extra == "train"',
    ]
    always, extras = split_requirements(lines)
    assert [item.name for item in always] == ["click"]
    assert {extra: [str(item.name) for item in items] for extra, items in extras.items()} == {
        "hf": ["torch"],
        "train": ["trl"],
    }


def test_missing_tasks_are_named_and_the_off_switch_is_the_first_suspect():
    names = ["roi_a", "roi_b", "roi_c", "roi_d"]
    assert judge_tasks(names, [*names, "arc"], bridge_off=False).status == "ok"
    finding = judge_tasks(names, ["arc"], bridge_off=True)
    assert finding.status == "problem"
    assert shown_in(finding.detail, 4, "roi_a", "roi_b", "roi_c")
    assert "roi_d" not in finding.detail
    assert "ROI_BENCH_NO_BRIDGE" in finding.advice
    assert "ROI_BENCH_NO_BRIDGE" not in judge_tasks(names, names[1:], bridge_off=False).advice
    assert judge_tasks([], ["arc"], bridge_off=False).status == "broken"


def test_disk_space():
    assert judge_disk("here", 2_000_000_000, 1_000_000_000).status == "ok"
    finding = judge_disk("here", 400_000_000, 1_000_000_000)
    assert finding.status == "problem"
    assert "0.4 GB" in finding.detail


@pytest.mark.parametrize(("statuses", "code"), [("ok note problem", 0), ("ok broken", 1), ("", 0)])
def test_only_what_is_essential_fails(statuses, code):
    findings = [Finding("machine", "x", status, "d") for status in statuses.split()]
    assert exit_code(findings) == code
    assert as_document(findings)["healthy"] is (code == 0)
