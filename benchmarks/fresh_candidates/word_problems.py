"""Word problems of a few sentences: quantities of everyday life, related by what the text says."""

from __future__ import annotations

from random import Random
from typing import Any

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, Worked, added, listed
from roi_bench.exams.fresh_solutions import signed

NAMES = (
    *("Ada", "Ben", "Carla", "David", "Elif", "Frank", "Grace", "Hugo", "Irene", "Jonas", "Kira", "Liam"),
    *("Mona", "Nils", "Olga", "Peter", "Rosa", "Sven", "Tara", "Umar", "Vera", "Walt", "Yara", "Zeno"),
)
GOODS = (
    *("pens", "notebooks", "mugs", "lamps", "scarves", "puzzles", "candles", "baskets", "kites", "rulers"),
    *("plates", "caps"),
)


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


def _solve_shopping(facts: Facts) -> Worked:
    costs = [line["count"] * line["price"] for line in facts["lines"]]
    steps = [
        f"{line['count']} {line['goods']} cost {line['count']} × {line['price']} = {cost} dollars."
        for line, cost in zip(facts["lines"], costs, strict=True)
    ]
    total = added(costs, steps)
    steps.append(f"{facts['wallet']} - {total} = {facts['wallet'] - total} dollars are left.")
    return steps, facts["wallet"] - total


def _answer_shopping(facts: Facts) -> int:
    left: int = facts["wallet"]
    for line in facts["lines"]:
        for _ in range(line["count"]):
            left -= line["price"]
    return left


def _draw_ages(random: Random, size: Size) -> Facts:
    times, later, young = random.randint(2, 4), random.randint(3, 14), random.randint(4, 24)
    old = times * (young + later) - later
    facts: Facts = {"names": random.sample(NAMES, 3), "times": times, "later": later, "sum": young + old}
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
            f"years old together. How old is {third} today?"
        )
    return f"{text}Today they are {facts['sum']} years old together. How old is {old} today?"


def _solve_ages(facts: Facts) -> Worked:
    young, old, third = facts["names"]
    times, later, gap = facts["times"], facts["later"], facts.get("gap", 0)
    shift = (times - 1) * later
    steps = [
        f"Let x be the age of {young} today. Then {old} is {times}(x + {later}) - {later} = {times}x + {shift} today."
    ]
    slope, constant = times + 1, shift
    if gap:
        steps.append(f"{third} is {times}x + {shift} + {gap} = {times}x + {shift + gap}.")
        slope, constant = slope + times, constant + shift + gap
    x = (facts["sum"] - constant) // slope
    steps.append(f"Together that is {slope}x + {constant} = {facts['sum']}, so {slope}x = {facts['sum'] - constant}.")
    steps.append(f"x = {facts['sum'] - constant} / {slope} = {x}.")
    result = times * x + shift + gap
    steps.append(f"{third if gap else old} is {times} × {x} + {shift + gap} = {result} today.")
    return steps, result


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


def _solve_journey(facts: Facts) -> Worked:
    steps = [f"{leg['hours']} × {leg['speed']} = {leg['hours'] * leg['speed']} km." for leg in facts["legs"]]
    total = added([leg["hours"] * leg["speed"] for leg in facts["legs"]], steps)
    return [*steps, f"That is {total} km in total."], total


def _answer_journey(facts: Facts) -> int:
    return sum(leg["speed"] for leg in facts["legs"] for _ in range(leg["hours"]))


_CHANGES = {
    "sold": "{n} are sold",
    "came": "{n} new ones come in",
    "half": "half of what is there is sold",
    "share": "a third of what is there is sold",
}


def _draw_stock(random: Random, size: Size) -> Facts:
    stock = start = random.randint(12, 40) * 10
    days: list[list[Any]] = []
    while len(days) < size["days"]:
        kind = "came" if stock < 30 else random.choice(list(_CHANGES))
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
        days.append([kind, number])
    return {"start": start, "goods": random.choice(GOODS), "days": days}


def _ask_stock(facts: Facts) -> str:
    days = " ".join(
        f"On day {day}, {_CHANGES[kind].format(n=number)}." for day, (kind, number) in enumerate(facts["days"], 1)
    )
    return f"A shop has {facts['start']} {facts['goods']}. {days} How many {facts['goods']} does it have after that?"


def _solve_stock(facts: Facts) -> Worked:
    stock, steps = facts["start"], []
    for day, (kind, number) in enumerate(facts["days"], start=1):
        if kind in ("half", "share"):
            gone = stock // number
            steps.append(f"Day {day}: {stock} / {number} = {gone} are sold; {stock} - {gone} = {stock - gone}.")
            stock -= gone
        else:
            sign, change = ("-", -number) if kind == "sold" else ("+", number)
            steps.append(f"Day {day}: {stock} {sign} {number} = {stock + change}.")
            stock += change
    return [*steps, f"The shop has {stock} {facts['goods']} after that."], stock


def _answer_stock(facts: Facts) -> int:
    stock = facts["start"]
    for kind, number in facts["days"]:
        stock = {"sold": stock - number, "came": stock + number, "half": stock // 2, "share": stock * 2 // 3}[kind]
    return int(stock)


def _draw_mean(random: Random, size: Size) -> Facts:
    while True:
        values = [random.randint(41, 99) for _ in range(size["values"])]
        mean, rest = divmod(sum(values), len(values))
        if rest == 0:
            return {"name": random.choice(NAMES), "known": values[:-1], "mean": mean, "n": len(values)}


def _ask_mean(facts: Facts) -> str:
    return (
        f"{facts['name']} wrote {facts['n']} tests. The first {facts['n'] - 1} gave {listed(facts['known'])} points, "
        f"and the mean of all {facts['n']} is {facts['mean']} points. How many points did the last test give?"
    )


def _solve_mean(facts: Facts) -> Worked:
    total = facts["n"] * facts["mean"]
    steps = [f"All {facts['n']} tests gave {facts['n']} × {facts['mean']} = {total} points."]
    known = added(facts["known"], steps)
    return [*steps, f"The last test gave {total} - {known} = {total - known} points."], total - known


def _answer_mean(facts: Facts) -> int:
    """Balance the known tests' distances from the mean."""
    return int(facts["mean"] + sum(facts["mean"] - known for known in facts["known"]))


def _draw_packing(random: Random, _: Size) -> Facts:
    trays, each = random.randint(9, 29), random.randint(8, 24)
    return {
        "name": random.choice(NAMES),
        "trays": trays,
        "each": each,
        "eaten": random.randint(5, 30),
        "bag": random.randint(2, 6),
    }


def _ask_packing(facts: Facts) -> str:
    return (
        f"{facts['name']} bakes {facts['trays']} trays of {facts['each']} rolls. {facts['eaten']} rolls are eaten. "
        f"The others are packed into bags of {facts['bag']}, as many full bags as possible. How many full bags are "
        "there?"
    )


def _solve_packing(facts: Facts) -> Worked:
    baked = facts["trays"] * facts["each"]
    bags, rest = divmod(baked - facts["eaten"], facts["bag"])
    steps = [f"{facts['trays']} × {facts['each']} = {baked} rolls are baked."]
    steps.append(f"{baked} - {facts['eaten']} = {baked - facts['eaten']} are left.")
    over = f"with {rest} left over" if rest else "with none left over"
    steps.append(f"{baked - facts['eaten']} / {facts['bag']} gives {bags} full bags, {over}.")
    return steps, bags


def _answer_packing(facts: Facts) -> int:
    rolls, bags = facts["trays"] * facts["each"] - facts["eaten"], 0
    while rolls >= facts["bag"]:
        rolls, bags = rolls - facts["bag"], bags + 1
    return bags


def _draw_tank(random: Random, size: Size) -> Facts:
    pipes, drain = [random.randint(4, 15) for _ in range(size["pipes"])], random.randint(1, 3)
    return {"pipes": pipes, "drain": drain, "litres": (sum(pipes) - drain) * random.randint(11, 80)}


def _ask_tank(facts: Facts) -> str:
    pipes = listed([f"{litres} litres" for litres in facts["pipes"]])
    drain = f"{facts['drain']} litres" if facts["drain"] > 1 else "1 litre"
    return (
        f"An empty tank holds {facts['litres']} litres. {len(facts['pipes'])} pipes fill it with {pipes} a minute, and "
        f"through a leak it loses {drain} a minute. After how many minutes is it full?"
    )


def _solve_tank(facts: Facts) -> Worked:
    steps: list[str] = []
    rate = added([*facts["pipes"], -facts["drain"]], steps)
    minutes = facts["litres"] // rate
    steps.append(f"The tank gains {rate} litres a minute.")
    return [*steps, f"{facts['litres']} / {rate} = {minutes} minutes."], minutes


def _answer_tank(facts: Facts) -> int:
    inside, minutes = 0, 0
    while inside < facts["litres"]:
        inside, minutes = inside + sum(facts["pipes"]) - facts["drain"], minutes + 1
    return minutes


def _draw_saving(random: Random, _: Size) -> Facts:
    weekly, weeks = random.randint(6, 18), random.randint(14, 70)
    have = random.randint(15, 90)
    return {"name": random.choice(NAMES), "have": have, "weekly": weekly, "goal": have + weekly * weeks}


def _ask_saving(facts: Facts) -> str:
    return (
        f"{facts['name']} has ${facts['have']} and saves ${facts['weekly']} every week for a bicycle that costs "
        f"${facts['goal']}. After how many weeks is there exactly enough money?"
    )


def _solve_saving(facts: Facts) -> Worked:
    missing = facts["goal"] - facts["have"]
    weeks = missing // facts["weekly"]
    steps = [f"{facts['goal']} - {facts['have']} = {missing} dollars are missing."]
    return [*steps, f"{missing} / {facts['weekly']} = {weeks} weeks."], weeks


def _answer_saving(facts: Facts) -> int:
    weeks, money = 0, facts["have"]
    while money < facts["goal"]:
        weeks, money = weeks + 1, money + facts["weekly"]
    return weeks


def _draw_tickets(random: Random, size: Size) -> Facts:
    n = size["unknowns"]
    kinds = random.sample(("adults", "children", "students", "seniors"), n)
    prices = random.sample(range(4, 40), n)
    while True:
        groups = [[random.randint(1, 6) for _ in range(n)] for _ in range(n)]
        if _determinant(groups):
            break
    sums = [sum(a * b for a, b in zip(group, prices, strict=True)) for group in groups]
    return {"kinds": kinds, "groups": groups, "sums": sums, "order": [random.randint(2, 9) for _ in range(n)]}


def _determinant(rows: list[list[int]]) -> int:
    if len(rows) == 1:
        return rows[0][0]
    return sum(
        (-1) ** k * rows[0][k] * _determinant([row[:k] + row[k + 1 :] for row in rows[1:]]) for k in range(len(rows))
    )


_ONE = {"adults": "adult", "children": "child", "students": "student", "seniors": "senior"}


def _group(counts: list[int], kinds: list[str]) -> str:
    return listed([f"{count} {kind if count > 1 else _ONE[kind]}" for count, kind in zip(counts, kinds, strict=True)])


def _ask_tickets(facts: Facts) -> str:
    lines = [f"{_group(g, facts['kinds'])} pay ${s}" for g, s in zip(facts["groups"], facts["sums"], strict=True)]
    return (
        f"At a museum, {listed(lines)}. Everyone of a kind pays the same whole number of dollars. How many dollars do "
        f"{_group(facts['order'], facts['kinds'])} pay together?"
    )


def _solve_tickets(facts: Facts) -> Worked:
    """Eliminate one unknown after the other, in whole numbers, and put the prices back in."""
    letters = "xyzw"[: len(facts["kinds"])]
    named = [f"{letter} for one {_ONE[kind]}" for letter, kind in zip(letters, facts["kinds"], strict=True)]
    rows = [
        (k, [*group, total]) for k, (group, total) in enumerate(zip(facts["groups"], facts["sums"], strict=True), 1)
    ]
    steps = [f"Write {listed(named)}.", *(f"({k}) {_equation(row, letters)}" for k, row in rows)]
    count, kept = len(rows), []
    for place, letter in enumerate(letters):
        at = next(k for k, (_, row) in enumerate(rows) if row[place])
        name, pivot = rows.pop(at)
        kept.append(pivot)
        for k, (other, row) in enumerate(rows):
            if row[place]:
                count += 1
                rows[k] = count, [pivot[place] * a - row[place] * b for a, b in zip(row, pivot, strict=True)]
                factors = f"{pivot[place]} × ({other}) - {signed(row[place])} × ({name})"
                steps.append(f"Without {letter}, {factors}: ({count}) {_equation(rows[k][1], letters)}")
    prices = [0] * len(letters)
    for place in reversed(range(len(letters))):
        row = kept[place]
        known = sum(row[k] * prices[k] for k in range(place + 1, len(letters)))
        prices[place] = (row[-1] - known) // row[place]
        top = f"({row[-1]} - {signed(known)})" if known else str(row[-1])
        steps.append(f"{letters[place]} = {top} / {signed(row[place])} = {prices[place]}.")
    parts = [count * price for count, price in zip(facts["order"], prices, strict=True)]
    steps += [f"{count} × {price} = {count * price}." for count, price in zip(facts["order"], prices, strict=True)]
    return steps, added(parts, steps)


def _equation(row: list[int], letters: str) -> str:
    *counts, total = row
    pairs = [(count, letter) for count, letter in zip(counts, letters, strict=True) if count]
    terms = [f"{'+' if a > 0 else '-'} {abs(a) if abs(a) > 1 else ''}{letter}" for a, letter in pairs]
    left = " ".join(terms)
    return f"{left.removeprefix('+ ') if left[0] == '+' else left.replace('- ', '-', 1)} = {total}."


def _answer_tickets(facts: Facts) -> int:
    """Cramer's rule."""
    base = _determinant(facts["groups"])
    total = 0
    for k, wanted in enumerate(facts["order"]):
        swapped = [[*row[:k], s, *row[k + 1 :]] for row, s in zip(facts["groups"], facts["sums"], strict=True)]
        total += _determinant(swapped) * wanted // base
    return total


def _draw_ratio(random: Random, _: Size) -> Facts:
    first, second = random.sample(range(2, 10), 2)
    return {"names": random.sample(NAMES, 2), "parts": sorted((first, second)), "each": random.randint(4, 40)}


def _ask_ratio(facts: Facts) -> str:
    (less, more), (low, high) = facts["names"], facts["parts"]
    return (
        f"{less} and {more} share ${(low + high) * facts['each']} in the ratio {low} to {high}. How many dollars does "
        f"{more} get?"
    )


def _solve_ratio(facts: Facts) -> Worked:
    low, high = facts["parts"]
    total = (low + high) * facts["each"]
    steps = [
        f"There are {low} + {high} = {low + high} parts.",
        f"One part is {total} / {low + high} = {total // (low + high)}.",
    ]
    result = high * (total // (low + high))
    return [*steps, f"{facts['names'][1]} gets {high} × {total // (low + high)} = {result} dollars."], result


def _answer_ratio(facts: Facts) -> int:
    low, high = facts["parts"]
    total = (low + high) * facts["each"]
    (only,) = [share for share in range(total + 1) if share * low == (total - share) * high]
    return only


KINDS = {
    "shopping": Kind("arithmetic in words", _draw_shopping, _ask_shopping, _solve_shopping, _answer_shopping),
    "ages": Kind("algebra in words", _draw_ages, _ask_ages, _solve_ages, _answer_ages),
    "journey": Kind("arithmetic in words", _draw_journey, _ask_journey, _solve_journey, _answer_journey),
    "stock": Kind("arithmetic in words", _draw_stock, _ask_stock, _solve_stock, _answer_stock),
    "mean": Kind("arithmetic in words", _draw_mean, _ask_mean, _solve_mean, _answer_mean),
    "packing": Kind("arithmetic in words", _draw_packing, _ask_packing, _solve_packing, _answer_packing),
    "tank": Kind("arithmetic in words", _draw_tank, _ask_tank, _solve_tank, _answer_tank),
    "saving": Kind("arithmetic in words", _draw_saving, _ask_saving, _solve_saving, _answer_saving),
    "ratio": Kind("algebra in words", _draw_ratio, _ask_ratio, _solve_ratio, _answer_ratio),
    "tickets": Kind("algebra in words", _draw_tickets, _ask_tickets, _solve_tickets, _answer_tickets),
}
