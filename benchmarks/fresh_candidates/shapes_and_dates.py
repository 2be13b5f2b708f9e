"""Geometry with whole numbers, days and times."""

from __future__ import annotations

import datetime
import math
from random import Random

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, Worked, added, listed
from benchmarks.fresh_candidates.word_problems import NAMES
from roi_bench.exams.fresh_solutions import signed

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _draw_rectangle(random: Random, _: Size) -> Facts:
    return {"long": random.randint(8, 30), "wide": random.randint(5, 25)}


def _ask_rectangle(facts: Facts) -> str:
    around = 2 * (facts["long"] + facts["wide"])
    return (
        f"A rectangular field is {facts['long']} m long, and the fence around it is {around} m long. How many square "
        "metres does the field cover?"
    )


def _solve_rectangle(facts: Facts) -> Worked:
    long, wide = facts["long"], facts["wide"]
    half = long + wide
    steps = [f"Length and width together are {2 * half} / 2 = {half} m.", f"The width is {half} - {long} = {wide} m."]
    return [*steps, f"The field covers {long} × {wide} = {long * wide} square metres."], long * wide


def _answer_rectangle(facts: Facts) -> int:
    return sum(1 for _ in range(facts["long"]) for _ in range(facts["wide"]))


def _draw_garden(random: Random, _: Size) -> Facts:
    return {"a": random.randint(8, 40), "b": random.randint(8, 40), "path": random.randint(1, 4)}


def _ask_garden(facts: Facts) -> str:
    return (
        f"A garden bed is {facts['a']} m long and {facts['b']} m wide. Around it runs a path {facts['path']} m wide. "
        "How many square metres does the path cover, corners included?"
    )


def _solve_garden(facts: Facts) -> Worked:
    a, b, path = facts["a"], facts["b"], facts["path"]
    long, wide = a + 2 * path, b + 2 * path
    steps = [f"With the path it is {a} + 2 × {path} = {long} m long and {b} + 2 × {path} = {wide} m wide."]
    steps += [f"{long} × {wide} = {long * wide}.", f"The bed covers {a} × {b} = {a * b}."]
    return [*steps, f"The path covers {long * wide} - {a * b} = {long * wide - a * b}."], long * wide - a * b


def _answer_garden(facts: Facts) -> int:
    """Two strips along the length, corners included, and two along the width."""
    return int(2 * facts["path"] * (facts["a"] + 2 * facts["path"]) + 2 * facts["path"] * facts["b"])


def _draw_polygon(random: Random, size: Size) -> Facts:
    n, reach = size["corners"], size["reach"]
    while True:
        points = [(random.randint(-reach, reach), random.randint(-reach, reach)) for _ in range(n)]
        if len(set(points)) < n or (0, 0) in points:
            continue
        angles = sorted((math.atan2(y, x), (x, y)) for x, y in points)
        gaps = [(b[0] - a[0]) % (2 * math.pi) for a, b in zip(angles, angles[1:] + angles[:1], strict=True)]
        if min(gaps) > 0.05 and max(gaps) < math.pi - 0.05:
            return {"corners": [point for _, point in angles]}


def _ask_polygon(facts: Facts) -> str:
    corners = ", ".join(f"({x}, {y})" for x, y in facts["corners"])
    return f"A polygon has, in this order, the corners {corners}. What is twice its area?"


def _solve_polygon(facts: Facts) -> Worked:
    """The shoelace formula."""
    corners = facts["corners"]
    steps, parts = ["Twice the area is the sum of x1 × y2 - x2 × y1 over the sides."], []
    for (a, b), (c, d) in zip(corners, corners[1:] + corners[:1], strict=True):
        parts.append(a * d - c * b)
        left, right = f"{a} × {signed(d)}", f"{signed(c)} × {signed(b)}"
        steps.append(f"({a}, {b}) to ({c}, {d}): {left} - {right} = {parts[-1]}.")
    total = added(parts, steps)
    return steps, total


def _answer_polygon(facts: Facts) -> int:
    """Add up the trapezoids under the sides."""
    corners = facts["corners"]
    sides = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(int(sum((a[0] - b[0]) * (a[1] + b[1]) for a, b in sides)))


def _draw_days(random: Random, size: Size) -> Facts:
    start = datetime.date(random.randint(2001, 2098), random.randint(1, 12), random.randint(1, 28))
    return {"start": start, "end": start + datetime.timedelta(days=random.randint(*size["days"]))}


def _date(date: datetime.date) -> str:
    return f"{MONTHS[date.month - 1]} {date.day}, {date.year}"


def _ask_days(facts: Facts) -> str:
    return f"How many days after {_date(facts['start'])} is {_date(facts['end'])}?"


def _solve_days(facts: Facts) -> Worked:
    """Month by month."""
    start, end = facts["start"], facts["end"]
    steps, parts = [], []
    first = start
    while (first.year, first.month) != (end.year, end.month):
        following = (first.replace(day=1) + datetime.timedelta(days=32)).replace(day=1)
        length = (following - first.replace(day=1)).days
        parts.append((following - first).days)
        month = f"{MONTHS[first.month - 1]} {first.year}"
        steps.append(
            f"{month} has {length} days: {length} - {first.day} = {length - first.day}, and 1 to the next month."
        )
        first = following
    parts.append(end.day - first.day)
    steps.append(f"From {_date(first)} to {_date(end)} it is {parts[-1]}.")
    return steps, added(parts, steps)


def _answer_days(facts: Facts) -> int:
    return int((facts["end"] - facts["start"]).days)


def _draw_shift(random: Random, size: Size) -> Facts:
    shifts = []
    for _ in range(size["shifts"]):
        start = random.randint(6 * 12, 13 * 12) * 5
        shifts.append([start, start + random.randint(30, 110) * 5, random.choice((15, 20, 30, 45))])
    return {"name": random.choice(NAMES), "shifts": shifts}


def clock(minutes: int) -> str:
    """Return a time of day, ``7:05``."""
    return f"{minutes // 60}:{minutes % 60:02d}"


def _ask_shift(facts: Facts) -> str:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")[: len(facts["shifts"])]
    lines = [
        f"on {day} from {clock(a)} to {clock(b)} with a break of {pause} minutes"
        for day, (a, b, pause) in zip(days, facts["shifts"], strict=True)
    ]
    return f"{facts['name']} works {listed(lines)}. How many minutes of work are that, breaks not counted?"


def _solve_shift(facts: Facts) -> Worked:
    steps, parts = [], []
    for start, end, pause in facts["shifts"]:
        hours, minutes = divmod(end - start, 60)
        parts.append(end - start - pause)
        long = f"{hours} × 60 + {minutes} = {end - start}"
        steps.append(f"From {clock(start)} to {clock(end)}: {long} minutes; {end - start} - {pause} = {parts[-1]}.")
    return steps, added(parts, steps)


def _answer_shift(facts: Facts) -> int:
    return sum(1 for start, end, pause in facts["shifts"] for _ in range(start + pause, end))


KINDS = {
    "rectangle": Kind("geometry", _draw_rectangle, _ask_rectangle, _solve_rectangle, _answer_rectangle),
    "garden": Kind("geometry", _draw_garden, _ask_garden, _solve_garden, _answer_garden),
    "polygon": Kind("geometry", _draw_polygon, _ask_polygon, _solve_polygon, _answer_polygon),
    "days": Kind("calendar", _draw_days, _ask_days, _solve_days, _answer_days),
    "shift": Kind("calendar", _draw_shift, _ask_shift, _solve_shift, _answer_shift),
}
