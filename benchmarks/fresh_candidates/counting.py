"""Counting and logic: choices, paths, liars, shortest ways, best choices."""

from __future__ import annotations

from itertools import combinations, product
from math import comb
from random import Random
from typing import Any

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, Worked, added, listed, multiplied
from benchmarks.fresh_candidates.word_problems import NAMES


def _draw_outfits(random: Random, size: Size) -> Facts:
    things = random.sample(("shirts", "skirts", "hats", "jackets", "belts", "scarves"), size["things"])
    return {"name": random.choice(NAMES), "things": things, "counts": [random.randint(3, 25) for _ in things]}


def _ask_outfits(facts: Facts) -> str:
    owned = listed([f"{count} {thing}" for count, thing in zip(facts["counts"], facts["things"], strict=True)])
    return (
        f"{facts['name']} has {owned}, all different. In how many ways can {facts['name']} choose one of each kind to "
        "wear?"
    )


def _solve_outfits(facts: Facts) -> Worked:
    steps = ["Each choice of one kind goes with each of the others."]
    result = multiplied(facts["counts"], steps)
    return steps, result


def _answer_outfits(facts: Facts) -> int:
    return sum(1 for _ in product(*map(range, facts["counts"])))


def _draw_pairs(random: Random, size: Size) -> Facts:
    return {"n": random.randint(*size["n"]), "absent": random.randint(3, 9) if size.get("absent") else 0}


def _ask_pairs(facts: Facts) -> str:
    if facts["absent"]:
        return (
            f"At a party of {facts['n']} people everybody shakes hands with everybody else once, but for "
            f"{facts['absent']} old friends who came together: they do not shake hands with each other. How many "
            "handshakes are there?"
        )
    return (
        f"At a party of {facts['n']} people everybody shakes hands with everybody else once. How many handshakes are "
        "there?"
    )


def _solve_pairs(facts: Facts) -> Worked:
    n, absent = facts["n"], facts["absent"]
    steps = [f"{n} people make {n} × {n - 1} / 2 = {comb(n, 2)} pairs."]
    if absent:
        missing = comb(absent, 2)
        steps.append(f"The {absent} friends make {absent} × {absent - 1} / 2 = {missing} pairs that shake no hands.")
        steps.append(f"{comb(n, 2)} - {missing} = {comb(n, 2) - missing}.")
    return steps, comb(n, 2) - comb(absent, 2)


def _answer_pairs(facts: Facts) -> int:
    return sum(not j < facts["absent"] for _, j in combinations(range(facts["n"]), 2))


def _draw_committee(random: Random, size: Size) -> Facts:
    women, men = random.randint(*size["people"]), random.randint(*size["people"])
    return {"women": women, "men": men, "k": random.randint(*size["k"]), "least": size["least"]}


def _ask_committee(facts: Facts) -> str:
    least = f"at least {facts['least']} women" if facts["least"] > 1 else "at least one woman"
    return (
        f"From {facts['women']} women and {facts['men']} men a committee of {facts['k']} people is chosen, with "
        f"{least} and at least one man. In how many ways can this be done?"
    )


def _solve_committee(facts: Facts) -> Worked:
    women, men, k = facts["women"], facts["men"], facts["k"]
    steps, parts = [], []
    for w in range(facts["least"], k):
        one, two = comb(women, w), comb(men, k - w)
        parts.append(one * two)
        steps.append(f"{w} of {women} women and {k - w} of {men} men: {one} × {two} = {one * two}.")
    return steps, added(parts, steps)


def _answer_committee(facts: Facts) -> int:
    people = "w" * facts["women"] + "m" * facts["men"]
    return sum(
        choice.count("w") >= facts["least"] and choice.count("m") >= 1 for choice in combinations(people, facts["k"])
    )


def _draw_exactly(random: Random, size: Size) -> Facts:
    women, men = random.randint(*size["people"]), random.randint(*size["people"])
    return {"women": women, "men": men, "w": random.randint(*size["each"]), "m": random.randint(*size["each"])}


def _ask_exactly(facts: Facts) -> str:
    w = f"{facts['w']} women" if facts["w"] > 1 else "1 woman"
    m = f"{facts['m']} men" if facts["m"] > 1 else "1 man"
    return (
        f"From {facts['women']} women and {facts['men']} men, {w} and {m} are chosen for a team. In how many ways can "
        "this be done?"
    )


def _choices(n: int, k: int, what: str) -> str:
    top = " × ".join(str(n - j) for j in range(k))
    bottom = " × ".join(str(j) for j in range(k, 0, -1))
    return f"{k} of {n} {what}: {top} / ({bottom}) = {comb(n, k)} ways." if k > 1 else f"1 of {n} {what}: {n} ways."


def _solve_exactly(facts: Facts) -> Worked:
    steps = [_choices(facts["women"], facts["w"], "women"), _choices(facts["men"], facts["m"], "men")]
    return steps, multiplied([comb(facts["women"], facts["w"]), comb(facts["men"], facts["m"])], steps)


def _answer_exactly(facts: Facts) -> int:
    women = sum(1 for _ in combinations(range(facts["women"]), facts["w"]))
    return sum(women for _ in combinations(range(facts["men"]), facts["m"]))


def _draw_paths(random: Random, size: Size) -> Facts:
    while True:
        rows, columns = random.randint(*size["side"]), random.randint(*size["side"])
        cells = [(r, c) for r in range(rows) for c in range(columns)][1:-1]
        blocked = sorted(random.sample(cells, random.randint(*size["blocked"])))
        facts = {"rows": rows, "columns": columns, "blocked": blocked}
        if _solve_paths(facts)[1] >= size["least"]:
            return facts


def _ask_paths(facts: Facts) -> str:
    cells = [
        ["#" if (r, c) in facts["blocked"] else "." for c in range(facts["columns"])] for r in range(facts["rows"])
    ]
    return (
        "In the grid below, # is a wall. A path goes from the top left cell to the bottom right cell, in each step one "
        "cell to the right or one cell down, and through no wall. How many such paths are there?\n"
        + "\n".join(map(" ".join, cells))
    )


def _solve_paths(facts: Facts) -> Worked:
    """Row by row: the ways to a cell are those to the cell above plus those to the cell on the left."""
    above = [0] * facts["columns"]
    steps = ["The ways to a cell are those to the cell above plus those to the cell on its left; a wall has none."]
    for r in range(facts["rows"]):
        row: list[int] = []
        for c in range(facts["columns"]):
            ways = 1 if r == c == 0 else above[c] + (row[-1] if row else 0)
            row.append(0 if (r, c) in facts["blocked"] else ways)
        steps.append(f"Row {r + 1}: {', '.join(map(str, row))}.")
        above = row
    return steps, above[-1]


def _answer_paths(facts: Facts) -> int:
    """Count from the end by walking."""
    blocked, known = set(map(tuple, facts["blocked"])), {(facts["rows"] - 1, facts["columns"] - 1): 1}

    def ways(r: int, c: int) -> int:
        if r >= facts["rows"] or c >= facts["columns"] or (r, c) in blocked:
            return 0
        if (r, c) not in known:
            known[r, c] = ways(r + 1, c) + ways(r, c + 1)
        return known[r, c]

    return ways(0, 0)


def _draw_cheapest(random: Random, size: Size) -> Facts:
    n = random.randint(*size["side"])
    return {"grid": [[random.randint(size["low"], size["high"]) for _ in range(n)] for _ in range(n)]}


def _ask_cheapest(facts: Facts) -> str:
    grid = "\n".join(" ".join(map(str, row)) for row in facts["grid"])
    return (
        "A path through the grid below goes from the top left number to the bottom right one, in each step one to the "
        f"right or one down. What is the smallest possible sum of the numbers on a path, both ends included?\n{grid}"
    )


def _solve_cheapest(facts: Facts) -> Worked:
    """Row by row: the smallest sum to a number is the number plus the smaller of those above and on the left."""
    steps = ["The smallest sum up to a number is that number plus the smaller of the sums above it and on its left."]
    above: list[int] = []
    for r, line in enumerate(facts["grid"]):
        row: list[int] = []
        for c, value in enumerate(line):
            before = [*above[c : c + 1], *row[-1:]]
            row.append(value + (min(before) if before else 0))
        steps.append(f"Row {r + 1}: {', '.join(map(str, row))}.")
        above = row
    return steps, above[-1]


def _answer_cheapest(facts: Facts) -> int:
    """From the end: lower the sums of the numbers before until nothing changes."""
    grid, n = facts["grid"], len(facts["grid"])
    best = {(r, c): 10**6 for r in range(n) for c in range(n)} | {(n - 1, n - 1): grid[-1][-1]}
    for _ in range(2 * n):
        for (r, c), far in list(best.items()):
            for before in ((r - 1, c), (r, c - 1)):
                if before in best:
                    best[before] = min(best[before], far + grid[before[0]][before[1]])
    return int(best[0, 0])


def _draw_network(random: Random, size: Size) -> Facts:
    n = random.randint(*size["towns"])
    names = "ABCDEFGHIJKLMNOP"[:n]
    pairs = [pair for pair in combinations(range(n), 2) if pair[1] == pair[0] + 1 or random.random() < size["density"]]
    roads = [[names[i], names[j], random.randint(11, 99) + 15 * (j - i - 1)] for i, j in pairs]
    random.shuffle(roads)
    return {"roads": roads, "from": names[0], "to": names[-1]}


def _ask_network(facts: Facts) -> str:
    roads = ", ".join(f"{a}–{b} {km}" for a, b, km in facts["roads"])
    return (
        f"Roads between towns, with their lengths in kilometres: {roads}. They can be driven both ways. How many "
        f"kilometres long is the shortest way from {facts['from']} to {facts['to']}?"
    )


def _solve_network(facts: Facts) -> Worked:
    """Dijkstra's algorithm: always go on from the nearest town that is not finished."""
    known: dict[str, int] = {facts["from"]: 0}
    finished: set[str] = set()
    steps = []
    while facts["to"] not in finished:
        town = min(known.keys() - finished, key=lambda name: (known[name], name))
        finished.add(town)
        found = []
        for a, b, km in facts["roads"]:
            other = b if a == town else a if b == town else None
            if other and other not in finished and known[town] + km < known.get(other, 10**6):
                known[other] = known[town] + km
                found.append(f"{other} {known[town]} + {km} = {known[other]}")
        head = f"{town} is {known[town]} km away"
        steps.append(f"{head}; from there {', '.join(found)}." if found and town != facts["to"] else f"{head}.")
    return steps, known[facts["to"]]


def _answer_network(facts: Facts) -> int:
    towns = {town for road in facts["roads"] for town in road[:2]}
    far = dict.fromkeys(towns, 10**9) | {facts["from"]: 0}
    for _ in towns:
        for a, b, km in facts["roads"]:
            far[a], far[b] = min(far[a], far[b] + km), min(far[b], far[a] + km)
    return far[facts["to"]]


def _draw_knapsack(random: Random, size: Size) -> Facts:
    items = [[random.randint(3, 14), random.randint(11, 79)] for _ in range(random.randint(*size["items"]))]
    return {
        "items": items,
        "limit": max(sum(w for w, _ in items) * random.randint(40, 60) // 100, min(w for w, _ in items)),
    }


def _ask_knapsack(facts: Facts) -> str:
    items = listed([f"{w} kg worth ${v}" for w, v in facts["items"]])
    return (
        f"These parcels stand ready, each to be taken whole or left: {items}. A cart carries at most {facts['limit']} "
        "kg. How many dollars is the most that it can carry worth?"
    )


def _solve_knapsack(facts: Facts) -> Worked:
    """Try all choices to which no parcel can be added."""
    items, limit = facts["items"], facts["limit"]
    steps, best = [f"Go through the choices of at most {limit} kg to which no other parcel can be added."], 0
    for taken in product((True, False), repeat=len(items)):
        chosen = [item for item, t in zip(items, taken, strict=True) if t]
        weight = sum(w for w, _ in chosen)
        left = [w for (w, _), t in zip(items, taken, strict=True) if not t]
        if weight <= limit and all(weight + w > limit for w in left):
            value = sum(v for _, v in chosen)
            weights, values = (" + ".join(str(item[k]) for item in chosen) for k in (0, 1))
            sums = f"{weights} = {weight} kg, ${values} = ${value}" if len(chosen) > 1 else f"{weight} kg, ${value}"
            steps.append(f"{sums}.")
            best = max(best, value)
    return [*steps, f"The most is ${best}."], best


def _answer_knapsack(facts: Facts) -> int:
    """Dynamic programming over the weight."""
    best = [0] * (facts["limit"] + 1)
    for weight, value in facts["items"]:
        for room in range(facts["limit"], weight - 1, -1):
            best[room] = max(best[room], best[room - weight] + value)
    return best[-1]


def _draw_liars(random: Random, size: Size) -> Facts:
    n = random.randint(*size["people"])
    while True:
        says: list[list[Any]] = []
        for i in range(n):
            kind = random.choice(("same", "different", "count", "is"))
            other = random.choice([j for j in range(n) if j != i])
            says.append([kind, other, random.randint(1, n - 1) if kind == "count" else random.choice((True, False))])
        facts = {"names": random.sample(NAMES, n), "says": says, "coins": random.sample(range(11, 80), n)}
        if len(_worlds(facts)) == 1 and any(_worlds(facts)[0]):
            return facts


def _true(world: tuple[bool, ...], speaker: int, said: list[Any]) -> bool:
    kind, other, value = said
    if kind == "count":
        return bool(sum(world) == value)
    if kind == "is":
        return bool(world[other] == value)
    return bool(world[speaker] == world[other]) is (kind == "same")


def _worlds(facts: Facts) -> list[tuple[bool, ...]]:
    """Return the worlds (who is a knight) in which exactly the knights say something true."""
    return [
        world
        for world in product((True, False), repeat=len(facts["says"]))
        if all(_true(world, i, said) == world[i] for i, said in enumerate(facts["says"]))
    ]


def _ask_liars(facts: Facts) -> str:
    names = facts["names"]
    lines = []
    for speaker, (kind, other, value) in zip(names, facts["says"], strict=True):
        words = {
            "same": f"{names[other]} and I are of the same kind.",
            "different": f"{names[other]} and I are of different kinds.",
            "count": f"Exactly {value} of us {'is a knight' if value == 1 else 'are knights'}.",
            "is": f"{names[other]} is a {'knight' if value else 'knave'}.",
        }
        lines.append(f'{speaker} says: "{words[kind]}"')
    coins = listed([f"{name} {c}" for name, c in zip(names, facts["coins"], strict=True)])
    return (
        "On an island, knights always tell the truth and knaves always lie; everybody is one of the two. "
        f"{' '.join(lines)} They hold coins: {coins}. How many coins do the knights hold together?"
    )


def _solve_liars(facts: Facts) -> Worked:
    """Try every choice of knights until the first one that holds; name what fails in the others."""
    names, steps, found = facts["names"], [], []
    for world in product((True, False), repeat=len(names)):
        knights = (
            listed([name for name, knight in zip(names, world, strict=True) if knight]) if any(world) else "nobody"
        )
        wrong = [i for i, said in enumerate(facts["says"]) if _true(world, i, said) != world[i]]
        if wrong:
            speaker = names[wrong[0]]
            fault = (
                f"{speaker}, a knight, would lie" if world[wrong[0]] else f"{speaker}, a knave, would tell the truth"
            )
            steps.append(f"Knights {knights}: {fault}.")
        else:
            steps.append(f"Knights {knights}: all of it holds.")
            found = [coins for coins, knight in zip(facts["coins"], world, strict=True) if knight]
            break
    return steps, added(found, steps)


def _answer_liars(facts: Facts) -> int:
    (world,) = _worlds(facts)
    return sum(coins for coins, knight in zip(facts["coins"], world, strict=True) if knight)


KINDS = {
    "outfits": Kind("combinatorics", _draw_outfits, _ask_outfits, _solve_outfits, _answer_outfits),
    "pairs": Kind("combinatorics", _draw_pairs, _ask_pairs, _solve_pairs, _answer_pairs),
    "committee": Kind("combinatorics", _draw_committee, _ask_committee, _solve_committee, _answer_committee),
    "exactly": Kind("combinatorics", _draw_exactly, _ask_exactly, _solve_exactly, _answer_exactly),
    "paths": Kind("grids", _draw_paths, _ask_paths, _solve_paths, _answer_paths),
    "cheapest": Kind("grids", _draw_cheapest, _ask_cheapest, _solve_cheapest, _answer_cheapest),
    "network": Kind("graphs", _draw_network, _ask_network, _solve_network, _answer_network),
    "knapsack": Kind("combinatorics", _draw_knapsack, _ask_knapsack, _solve_knapsack, _answer_knapsack),
    "liars": Kind("logic", _draw_liars, _ask_liars, _solve_liars, _answer_liars),
}
