"""Geometry with whole numbers, days and times."""

from __future__ import annotations

import datetime
from random import Random

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, listed
from benchmarks.fresh_candidates.word_problems import NAMES, clock

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _draw_garden(random: Random, _: Size) -> Facts:
    return {"a": random.randint(8, 40), "b": random.randint(8, 40), "path": random.randint(1, 4)}


def _ask_garden(facts: Facts) -> str:
    return (
        f"A garden bed is {facts['a']} m long and {facts['b']} m wide. Around it runs a path "
        f"{facts['path']} m wide. How many square metres does the path cover, corners included?"
    )


def _draw_room(random: Random, _: Size) -> Facts:
    return {
        "a": random.randint(4, 12),
        "b": random.randint(3, 9),
        "price": random.randint(6, 30),
        "door": random.randint(1, 2),
    }


def _ask_room(facts: Facts) -> str:
    return (
        f"A room is {facts['a']} m long and {facts['b']} m wide. The floor is tiled for ${facts['price']} a "
        f"square metre, and along the walls runs a skirting "
        f"board for $3 a metre, but for a door {facts['door']} m wide. How many dollars do floor and "
        f"skirting board cost together?"
    )


def _ask_polygon(facts: Facts) -> str:
    corners = ", ".join(f"({x}, {y})" for x, y in facts["corners"])
    return f"A polygon has, in this order, the corners {corners}. What is twice its area?"


def _draw_polygon(random: Random, size: Size) -> Facts:
    import math

    n = size["corners"]
    while True:
        points = [
            (random.randint(-size["reach"], size["reach"]), random.randint(-size["reach"], size["reach"]))
            for _ in range(n)
        ]
        if len(set(points)) < n or (0, 0) in points:
            continue
        angles = sorted((math.atan2(y, x), (x, y)) for x, y in points)
        gaps = [(b[0] - a[0]) % (2 * math.pi) for a, b in zip(angles, angles[1:] + angles[:1], strict=True)]
        if min(gaps) > 0.05 and max(gaps) < math.pi - 0.05:
            return {"corners": [p for _, p in angles]}


def _answer_polygon(facts: Facts) -> int:
    c = facts["corners"]
    return int(abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(c, c[1:] + c[:1], strict=True))))


def _draw_days(random: Random, size: Size) -> Facts:
    start = datetime.date(random.randint(2001, 2098), random.randint(1, 12), random.randint(1, 28))
    return {
        "start": start.isoformat(),
        "end": (start + datetime.timedelta(days=random.randint(*size["days"]))).isoformat(),
    }


def _day(text: str) -> str:
    date = datetime.date.fromisoformat(text)
    return f"{MONTHS[date.month - 1]} {date.day}, {date.year}"


def _ask_days(facts: Facts) -> str:
    return f"How many days after {_day(facts['start'])} is {_day(facts['end'])}?"


def _answer_days(facts: Facts) -> int:
    return (datetime.date.fromisoformat(facts["end"]) - datetime.date.fromisoformat(facts["start"])).days


def _draw_shifts(random: Random, size: Size) -> Facts:
    shifts = []
    for _ in range(size["shifts"]):
        start = random.randint(6 * 12, 13 * 12) * 5
        shifts.append([start, start + random.randint(30, 110) * 5, random.choice((15, 20, 30, 45))])
    return {"name": random.choice(NAMES), "shifts": shifts}


def _ask_shifts(facts: Facts) -> str:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    lines = [
        f"on {day} from {clock(a)} to {clock(b)} with a break of {p} minutes"
        for day, (a, b, p) in zip(days, facts["shifts"], strict=False)  # one day a shift
    ]
    return f"{facts['name']} works {listed(lines)}. How many minutes of work are that, breaks not counted?"


def _answer_shifts(facts: Facts) -> int:
    return sum(b - a - p for a, b, p in facts["shifts"])


def _draw_buses(random: Random, size: Size) -> Facts:
    from math import lcm

    while True:
        gaps = random.sample(size["gaps"], size["lines"])
        if lcm(*gaps) <= 900 and lcm(*gaps) not in gaps:
            return {"gaps": gaps, "start": random.randint(5, 7) * 60, "until": random.randint(20, 23) * 60}


def _ask_buses(facts: Facts) -> str:
    gaps = listed([f"every {g} minutes" for g in facts["gaps"]])
    count = {2: "two", 3: "three"}[len(facts["gaps"])]
    return (
        f"From a station {count} bus lines leave: {gaps}. At {clock(facts['start'])} all leave together for "
        f"the first time. How many buses leave in all up to {clock(facts['until'])}, "
        "that time included?"
    )


def _answer_buses(facts: Facts) -> int:
    return sum((facts["until"] - facts["start"]) // g + 1 for g in facts["gaps"])


def _draw_cuboid(random: Random, _: Size) -> Facts:
    return {"sides": [random.randint(3, 12) for _ in range(3)]}


KINDS = {
    "garden": Kind(
        "geometry",
        _draw_garden,
        _ask_garden,
        lambda f: (f["a"] + 2 * f["path"]) * (f["b"] + 2 * f["path"]) - f["a"] * f["b"],
    ),
    "room": Kind(
        "geometry",
        _draw_room,
        _ask_room,
        lambda f: f["a"] * f["b"] * f["price"] + 3 * (2 * (f["a"] + f["b"]) - f["door"]),
    ),
    "polygon": Kind("geometry", _draw_polygon, _ask_polygon, _answer_polygon),
    "cuboid": Kind(
        "geometry",
        _draw_cuboid,
        lambda f: (
            "A box without a lid is {} cm long, {} cm wide and {} cm high. How many square centimetres of "
            "cardboard does it take, bottom and four sides?".format(*f["sides"])
        ),
        lambda f: f["sides"][0] * f["sides"][1] + 2 * f["sides"][2] * (f["sides"][0] + f["sides"][1]),
    ),
    "days": Kind("calendar", _draw_days, _ask_days, _answer_days),
    "shifts": Kind("calendar", _draw_shifts, _ask_shifts, _answer_shifts),
    "buses": Kind("calendar", _draw_buses, _ask_buses, _answer_buses),
}
