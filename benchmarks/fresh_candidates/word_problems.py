"""Word problems of a few sentences: quantities of everyday life, related by what the text says."""

from __future__ import annotations

from random import Random
from typing import Any

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, listed

NAMES = (
    *("Ada", "Ben", "Carla", "David", "Elif", "Frank", "Grace", "Hugo", "Irene", "Jonas", "Kira", "Liam"),
    *("Mona", "Nils", "Olga", "Peter", "Rosa", "Sven", "Tara", "Umar", "Vera", "Walt", "Yara", "Zeno"),
)
GOODS = (
    "pens",
    "notebooks",
    "mugs",
    "lamps",
    "scarves",
    "puzzles",
    "candles",
    "baskets",
    "kites",
    "rulers",
    "plates",
    "caps",
)


def _people(random: Random, count: int) -> list[str]:
    return random.sample(NAMES, count)


def _draw_shopping(random: Random, size: Size) -> Facts:
    lines: list[dict[str, Any]] = [
        {"goods": goods, "count": random.randint(2, 9), "price": random.randint(3, 19)}
        for goods in random.sample(GOODS, size["lines"])
    ]
    total = sum(line["count"] * line["price"] for line in lines)
    return {"name": random.choice(NAMES), "lines": lines, "wallet": (total // 50 + random.randint(1, 4)) * 50}


def _ask_shopping(facts: Facts) -> str:
    bought = listed([f"{line['count']} {line['goods']} for ${line['price']} each" for line in facts["lines"]])
    return f"{facts['name']} has ${facts['wallet']} and buys {bought}. How many dollars are left?"


def _answer_shopping(facts: Facts) -> int:
    left: int = facts["wallet"]
    for line in facts["lines"]:
        for _ in range(line["count"]):
            left -= line["price"]
    return left


def _draw_ages(random: Random, size: Size) -> Facts:
    times = random.randint(2, 4)
    later = random.randint(3, 14)
    young = random.randint(4, 24)
    old = times * (young + later) - later
    facts: Facts = {
        "names": _people(random, 3),
        "times": times,
        "later": later,
        "sum": young + old,
        "young": young,
        "old": old,
    }
    if size["people"] == 3:
        facts["gap"] = random.randint(2, 9)
        facts["sum"] += old + facts["gap"]
    return facts


def _ask_ages(facts: Facts) -> str:
    young, old, third = facts["names"]
    text = f"In {facts['later']} years, {old} will be {facts['times']} times as old as {young}. "
    if "gap" in facts:
        return (
            f"{text}{third} is {facts['gap']} years older than {old}. Today the three are {facts['sum']} "
            f"years old together. "
            f"How old is {third} today?"
        )
    return f"{text}Today they are {facts['sum']} years old together. How old is {old} today?"


def _answer_ages(facts: Facts) -> int:
    found: list[int] = []
    for young in range(200):
        old = facts["times"] * (young + facts["later"]) - facts["later"]
        total = young + old + (old + facts["gap"] if "gap" in facts else 0)
        if total == facts["sum"]:
            found.append(old + facts.get("gap", 0))
    (only,) = found
    return only


def _draw_journey(random: Random, size: Size) -> Facts:
    legs = [{"hours": random.randint(2, 6), "speed": 5 * random.randint(3, 22)} for _ in range(size["legs"])]
    return {"name": random.choice(NAMES), "legs": legs}


def _ask_journey(facts: Facts) -> str:
    ways = [f"{leg['hours']} hours at {leg['speed']} km/h" for leg in facts["legs"]]
    return f"{facts['name']} drives {listed(ways, 'then')}. How many kilometres is that in total?"


def _answer_journey(facts: Facts) -> int:
    return sum(leg["hours"] * leg["speed"] for leg in facts["legs"])


def _draw_meeting(random: Random, _: Size) -> Facts:
    while True:
        first, second = random.sample(range(40, 121, 4), 2)
        start = random.randint(6, 9) * 60 + random.choice((0, 15, 30, 45))
        late = random.choice((30, 45, 60, 75, 90))
        minutes = random.randint(6, 30) * 10
        way = first * (minutes + late) + second * minutes
        if way % 60 == 0 and first * (minutes + late) % 60 == 0:
            return {"speeds": [first, second], "start": start, "late": late, "km": way // 60}


def clock(minutes: int) -> str:
    """Return a time of day, ``7:05``."""
    return f"{minutes // 60}:{minutes % 60:02d}"


def _ask_meeting(facts: Facts) -> str:
    first, second = facts["speeds"]
    return (
        f"Two towns are {facts['km']} km apart. At {clock(facts['start'])} a train leaves the first town "
        f"for the second at {first} km/h. At "
        f"{clock(facts['start'] + facts['late'])} another train leaves the second town for the first at "
        f"{second} km/h. How many kilometres from "
        "the first town do they meet?"
    )


def _answer_meeting(facts: Facts) -> int:
    first, second = facts["speeds"]
    minute = 0
    while True:
        gone = first * minute + second * max(0, minute - facts["late"])
        if gone >= facts["km"] * 60:
            return int(first * minute // 60)
        minute += 1


def _draw_stock(random: Random, size: Size) -> Facts:
    stock = random.randint(12, 40) * 10
    start, days = stock, []
    for _ in range(size["days"]):
        kinds = ["sold", "came", "half", "share"]
        while True:
            kind = random.choice(kinds)
            if kind == "sold" and stock > 40:
                number = random.randint(11, stock // 2)
                stock -= number
            elif kind == "came":
                number = random.randint(11, 90)
                stock += number
            elif kind == "half" and stock % 2 == 0:
                number = 2
                stock //= 2
            elif kind == "share" and stock % 3 == 0:
                number = 3
                stock -= stock // 3
            else:
                continue
            break
        days.append([kind, number])
        if stock < 30:
            days.append(["came", 80])
            stock += 80
    return {"start": start, "goods": random.choice(GOODS), "days": days}


_DAYS = {
    "sold": "{n} are sold",
    "came": "{n} new ones come in",
    "half": "half of what is there is sold",
    "share": "a third of what is there is sold",
}


def _ask_stock(facts: Facts) -> str:
    days = " ".join(
        f"On day {day}, {_DAYS[kind].format(n=number)}." for day, (kind, number) in enumerate(facts["days"], 1)
    )
    return f"A shop has {facts['start']} {facts['goods']}. {days} How many {facts['goods']} does it have after that?"


def _answer_stock(facts: Facts) -> int:
    stock = facts["start"]
    for kind, number in facts["days"]:
        stock = {"sold": stock - number, "came": stock + number, "half": stock // 2, "share": stock - stock // 3}[kind]
    return int(stock)


def _draw_mean(random: Random, size: Size) -> Facts:
    while True:
        values = [random.randint(41, 99) for _ in range(size["values"])]
        if sum(values) % len(values) == 0:
            return {
                "name": random.choice(NAMES),
                "known": values[:-1],
                "mean": sum(values) // len(values),
                "n": len(values),
            }


def _ask_mean(facts: Facts) -> str:
    return (
        f"{facts['name']} wrote {facts['n']} tests. The first {facts['n'] - 1} gave "
        f"{listed(list(map(str, facts['known'])))} points, and the mean of all "
        f"{facts['n']} is {facts['mean']} points. How many points did the last test give?"
    )


def _answer_mean(facts: Facts) -> int:
    return int(facts["n"] * facts["mean"] - sum(facts["known"]))


def _draw_packing(random: Random, _: Size) -> Facts:
    return {
        "name": random.choice(NAMES),
        "rows": random.randint(6, 19),
        "each": random.randint(6, 19),
        "eaten": random.randint(5, 30),
        "box": random.randint(4, 9),
    }


def _ask_packing(facts: Facts) -> str:
    return (
        f"{facts['name']} bakes {facts['rows']} trays of {facts['each']} rolls. {facts['eaten']} rolls are "
        f"eaten. The others are packed into bags of "
        f"{facts['box']}, as many full bags as possible. How many full bags are there?"
    )


def _answer_packing(facts: Facts) -> int:
    return int((facts["rows"] * facts["each"] - facts["eaten"]) // facts["box"])


def _draw_tickets(random: Random, size: Size) -> Facts:
    n = size["unknowns"]
    kinds = random.sample(("adults", "children", "students", "seniors"), n)
    prices = random.sample(range(4, 40), n)
    while True:
        groups = [[random.randint(1, 6) for _ in range(n)] for _ in range(n)]
        if _determinant(groups):
            break
    return {
        "kinds": kinds,
        "groups": groups,
        "sums": [sum(a * b for a, b in zip(g, prices, strict=True)) for g in groups],
        "order": [random.randint(2, 9) for _ in range(n)],
    }


def _determinant(rows: list[list[int]]) -> int:
    if len(rows) == 1:
        return rows[0][0]
    return sum(
        (-1) ** k * rows[0][k] * _determinant([row[:k] + row[k + 1 :] for row in rows[1:]]) for k in range(len(rows))
    )


def _group(counts: list[int], kinds: list[str]) -> str:
    one = {"adults": "adult", "children": "child", "students": "student", "seniors": "senior"}
    return listed([f"{count} {kind if count > 1 else one[kind]}" for count, kind in zip(counts, kinds, strict=True)])


def _ask_tickets(facts: Facts) -> str:
    lines = [f"{_group(g, facts['kinds'])} pay ${s}" for g, s in zip(facts["groups"], facts["sums"], strict=True)]
    return (
        f"At a museum, {listed(lines)}. Everyone of a kind pays the same whole number of dollars. How "
        f"many dollars do {_group(facts['order'], facts['kinds'])} pay together?"
    )


def _answer_tickets(facts: Facts) -> int:
    base = _determinant(facts["groups"])
    total = 0
    for k, wanted in enumerate(facts["order"]):
        swapped = [[*row[:k], s, *row[k + 1 :]] for row, s in zip(facts["groups"], facts["sums"], strict=True)]
        top = _determinant(swapped) * wanted
        total += top // base
    return total


KINDS = {
    "shopping": Kind("arithmetic in words", _draw_shopping, _ask_shopping, _answer_shopping),
    "ages": Kind("algebra in words", _draw_ages, _ask_ages, _answer_ages),
    "journey": Kind("arithmetic in words", _draw_journey, _ask_journey, _answer_journey),
    "meeting": Kind("algebra in words", _draw_meeting, _ask_meeting, _answer_meeting),
    "stock": Kind("arithmetic in words", _draw_stock, _ask_stock, _answer_stock),
    "mean": Kind("arithmetic in words", _draw_mean, _ask_mean, _answer_mean),
    "packing": Kind("arithmetic in words", _draw_packing, _ask_packing, _answer_packing),
    "tickets": Kind("algebra in words", _draw_tickets, _ask_tickets, _answer_tickets),
}
