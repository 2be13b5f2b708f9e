"""Counting and logic: choices, paths, liars, shortest ways, best choices."""

from __future__ import annotations

from itertools import combinations, permutations, product
from math import comb
from random import Random
from typing import Any

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, listed
from benchmarks.fresh_candidates.word_problems import NAMES


def _draw_pairs(random: Random, size: Size) -> Facts:
    return {"n": random.randint(*size["n"]), "absent": random.randint(2, 6) if size.get("absent") else 0}


def _ask_pairs(facts: Facts) -> str:
    if facts["absent"]:
        return (
            f"At a party of {facts['n']} people everybody shakes hands with everybody else once, but for "
            f"{facts['absent']} old friends who came together: "
            "they do not shake hands with each other. How many handshakes are there?"
        )
    return (
        f"At a party of {facts['n']} people everybody shakes hands with everybody else once. How many "
        f"handshakes are there?"
    )


def _draw_committee(random: Random, size: Size) -> Facts:
    return {
        "women": random.randint(*size["people"]),
        "men": random.randint(*size["people"]),
        "k": random.randint(*size["k"]),
        "least": size["least"],
    }


def _ask_committee(facts: Facts) -> str:
    least = f"at least {facts['least']} women" if facts["least"] > 1 else "at least one woman"
    return (
        f"From {facts['women']} women and {facts['men']} men a committee of {facts['k']} people is chosen, "
        f"with {least} and at least one man. "
        "In how many ways can this be done?"
    )


def _answer_committee(facts: Facts) -> int:
    people = "w" * facts["women"] + "m" * facts["men"]
    return sum(
        choice.count("w") >= facts["least"] and choice.count("m") >= 1 for choice in combinations(people, facts["k"])
    )


def _draw_exactly(random: Random, size: Size) -> Facts:
    return {
        "women": random.randint(*size["people"]),
        "men": random.randint(*size["people"]),
        "w": random.randint(*size["each"]),
        "m": random.randint(*size["each"]),
    }


def _ask_exactly(facts: Facts) -> str:
    w = f"{facts['w']} women" if facts["w"] > 1 else "1 woman"
    m = f"{facts['m']} men" if facts["m"] > 1 else "1 man"
    return (
        f"From {facts['women']} women and {facts['men']} men, {w} and {m} are chosen for a team. In how "
        f"many ways can this be done?"
    )


def _draw_paths(random: Random, size: Size) -> Facts:
    rows, columns = random.randint(*size["side"]), random.randint(*size["side"])
    cells = [(r, c) for r in range(rows) for c in range(columns) if (r, c) not in ((0, 0), (rows - 1, columns - 1))]
    while True:
        blocked = random.sample(cells, random.randint(*size["blocked"]))
        facts = {"rows": rows, "columns": columns, "blocked": sorted(blocked)}
        if _answer_paths(facts) >= size["least"]:
            return facts


def _ask_paths(facts: Facts) -> str:
    grid = "\n".join(
        " ".join("#" if (r, c) in facts["blocked"] else "." for c in range(facts["columns"]))
        for r in range(facts["rows"])
    )
    return (
        "In the grid below, # is a wall. A path goes from the top left cell to the bottom right cell, in "
        "each step one cell to the right or one "
        f"cell down, and through no wall. How many such paths are there?\n{grid}"
    )


def _answer_paths(facts: Facts) -> int:
    ways: dict[tuple[int, int], int] = {}
    for r in range(facts["rows"]):
        for c in range(facts["columns"]):
            if (r, c) in facts["blocked"]:
                ways[r, c] = 0
            else:
                ways[r, c] = 1 if r == c == 0 else ways.get((r - 1, c), 0) + ways.get((r, c - 1), 0)
    return ways[facts["rows"] - 1, facts["columns"] - 1]


def _draw_cheapest(random: Random, size: Size) -> Facts:
    n = random.randint(*size["side"])
    return {"grid": [[random.randint(1, size["high"]) for _ in range(n)] for _ in range(n)]}


def _ask_cheapest(facts: Facts) -> str:
    grid = "\n".join(" ".join(map(str, row)) for row in facts["grid"])
    return (
        "A path through the grid below goes from the top left number to the bottom right one, in each step "
        "one to the right or one down. "
        f"What is the smallest possible sum of the numbers on a path, both ends included?\n{grid}"
    )


def _answer_cheapest(facts: Facts) -> int:
    grid = facts["grid"]
    best: dict[tuple[int, int], int] = {}
    for r, row in enumerate(grid):
        for c, value in enumerate(row):
            before = [best[k] for k in ((r - 1, c), (r, c - 1)) if k in best]
            best[r, c] = value + (min(before) if before else 0)
    return best[len(grid) - 1, len(grid[0]) - 1]


def _draw_network(random: Random, size: Size) -> Facts:
    n = random.randint(*size["towns"])
    names = "ABCDEFGHIJKLMNOP"[:n]
    while True:
        roads = []
        for i, j in combinations(range(n), 2):
            if random.random() < size["density"] or j == i + 1:
                roads.append([names[i], names[j], random.randint(5, 60) + 12 * (j - i - 1)])
        random.shuffle(roads)
        return {"roads": roads, "from": names[0], "to": names[-1]}


def _ask_network(facts: Facts) -> str:
    roads = ", ".join(f"{a}–{b} {km}" for a, b, km in facts["roads"])
    return (
        f"Roads between towns, with their lengths in kilometres: {roads}. They can be driven both ways. How "
        f"many kilometres long is the shortest way "
        f"from {facts['from']} to {facts['to']}?"
    )


def _answer_network(facts: Facts) -> int:
    towns = {t for road in facts["roads"] for t in road[:2]}
    far = dict.fromkeys(towns, 10**9)
    far[facts["from"]] = 0
    for _ in towns:
        for a, b, km in facts["roads"]:
            far[a], far[b] = min(far[a], far[b] + km), min(far[b], far[a] + km)
    return far[facts["to"]]


def _draw_knapsack(random: Random, size: Size) -> Facts:
    n = random.randint(*size["items"])
    items = [[random.randint(2, 14), random.randint(5, 40)] for _ in range(n)]
    return {"items": items, "limit": sum(w for w, _ in items) * random.randint(40, 60) // 100}


def _ask_knapsack(facts: Facts) -> str:
    items = listed([f"{w} kg worth ${v}" for w, v in facts["items"]])
    return (
        f"These parcels stand ready, each to be taken whole or left: {items}. A cart carries at most "
        f"{facts['limit']} kg. "
        "How many dollars is the most that it can carry worth?"
    )


def _answer_knapsack(facts: Facts) -> int:
    best = 0
    for taken in product((0, 1), repeat=len(facts["items"])):
        if sum(t * w for t, (w, _) in zip(taken, facts["items"], strict=True)) <= facts["limit"]:
            best = max(best, sum(t * v for t, (_, v) in zip(taken, facts["items"], strict=True)))
    return best


def _draw_liars(random: Random, size: Size) -> Facts:
    n = size["people"]
    while True:
        names = random.sample(NAMES, n)
        says = []
        for i in range(n):
            kind = random.choice(("same", "different", "count", "is"))
            other = random.choice([j for j in range(n) if j != i])
            says.append([kind, other, random.randint(1, n - 1) if kind == "count" else random.choice((True, False))])
        worlds = [
            w for w in product((True, False), repeat=n) if all(_says(w, i, s) == w[i] for i, s in enumerate(says))
        ]
        if len(worlds) == 1:
            return {"names": names, "says": says, "coins": random.sample(range(3, 40), n)}


def _says(world: tuple[bool, ...], i: int, say: list[Any]) -> bool:
    kind, other, value = say
    if kind == "same":
        return bool(world[i] == world[other])
    if kind == "different":
        return bool(world[i] != world[other])
    if kind == "count":
        return bool(sum(world) == value)
    return bool(world[other] == value)


def _ask_liars(facts: Facts) -> str:
    names = facts["names"]
    lines = []
    for i, (kind, other, value) in enumerate(facts["says"]):
        says = {
            "same": f"{names[other]} and I are of the same kind.",
            "different": f"{names[other]} and I are of different kinds.",
            "count": f"Exactly {value} of us {'is a knight' if value == 1 else 'are knights'}.",
            "is": f"{names[other]} is a {'knight' if value else 'knave'}.",
        }[kind]
        lines.append(f'{names[i]} says: "{says}"')
    coins = listed([f"{name} {c}" for name, c in zip(names, facts["coins"], strict=True)])
    return (
        "On an island, knights always tell the truth and knaves always lie; everybody is one of the two. "
        f"{' '.join(lines)} They hold coins: {coins}. How many coins do the knights hold together?"
    )


def _answer_liars(facts: Facts) -> int:
    n = len(facts["names"])
    (world,) = [
        w for w in product((True, False), repeat=n) if all(_says(w, i, s) == w[i] for i, s in enumerate(facts["says"]))
    ]
    return sum(c for c, knight in zip(facts["coins"], world, strict=True) if knight)


def _draw_circle(random: Random, size: Size) -> Facts:
    return {"n": random.randint(*size["n"]), "k": random.randint(*size["k"])}


def _ask_circle(facts: Facts) -> str:
    nth = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}[facts["k"]]
    return (
        f"{facts['n']} children stand in a circle, numbered from 1 to {facts['n']}. Counting starts at "
        f"number 1, and every {nth} child that is counted leaves the "
        "circle, until one is left. Which number has that child?"
    )


def _answer_circle(facts: Facts) -> int:
    circle, at = list(range(1, facts["n"] + 1)), 0
    while len(circle) > 1:
        at = (at + facts["k"] - 1) % len(circle)
        circle.pop(at)
    return circle[0]


def _draw_subsets(random: Random, size: Size) -> Facts:
    while True:
        numbers = sorted(random.sample(range(2, size["high"]), size["count"]))
        target = random.randint(sum(numbers) // 3, sum(numbers) // 2)
        facts = {"numbers": numbers, "target": target}
        if _answer_subsets(facts) >= 3:
            return facts


def _answer_subsets(facts: Facts) -> int:
    return sum(
        sum(c) == facts["target"]
        for k in range(1, len(facts["numbers"]) + 1)
        for c in combinations(facts["numbers"], k)
    )


def _draw_row(random: Random, size: Size) -> Facts:
    n = size["people"]
    names = random.sample(NAMES, n)
    rules = []
    for _ in range(size["rules"]):
        a, b = random.sample(range(n), 2)
        rules.append([random.choice(("left", "apart", "next", "end")), a, b])
    facts = {"names": names, "rules": rules}
    return facts if _answer_row(facts) >= size["least"] else _draw_row(random, size)


def _ask_row(facts: Facts) -> str:
    names = facts["names"]
    words = {
        "left": "{a} stands somewhere to the left of {b}",
        "apart": "{a} does not stand next to {b}",
        "next": "{a} stands next to {b}",
        "end": "{a} stands at neither end",
    }
    rules = listed([words[kind].format(a=names[a], b=names[b]) for kind, a, b in facts["rules"]])
    return f"In how many ways can {listed(names)} stand in a row if {rules}?"


def _answer_row(facts: Facts) -> int:
    count = 0
    n = len(facts["names"])
    for order in permutations(range(n)):
        place = {person: k for k, person in enumerate(order)}
        count += all(
            {
                "left": place[a] < place[b],
                "apart": abs(place[a] - place[b]) > 1,
                "next": abs(place[a] - place[b]) == 1,
                "end": 0 < place[a] < n - 1,
            }[kind]
            for kind, a, b in facts["rules"]
        )
    return count


KINDS = {
    "pairs": Kind("combinatorics", _draw_pairs, _ask_pairs, lambda f: comb(f["n"], 2) - comb(f["absent"], 2)),
    "committee": Kind("combinatorics", _draw_committee, _ask_committee, _answer_committee),
    "exactly": Kind(
        "combinatorics", _draw_exactly, _ask_exactly, lambda f: comb(f["women"], f["w"]) * comb(f["men"], f["m"])
    ),
    "paths": Kind("grids", _draw_paths, _ask_paths, _answer_paths),
    "cheapest": Kind("grids", _draw_cheapest, _ask_cheapest, _answer_cheapest),
    "network": Kind("graphs", _draw_network, _ask_network, _answer_network),
    "knapsack": Kind("combinatorics", _draw_knapsack, _ask_knapsack, _answer_knapsack),
    "liars": Kind("logic", _draw_liars, _ask_liars, _answer_liars),
    "circle": Kind("logic", _draw_circle, _ask_circle, _answer_circle),
    "subsets": Kind(
        "combinatorics",
        _draw_subsets,
        lambda f: (
            f"In how many ways can {f['target']} be written as a sum of different numbers out of "
            f"{listed(list(map(str, f['numbers'])))}? The order of the summands does not matter."
        ),
        _answer_subsets,
    ),
    "row": Kind("combinatorics", _draw_row, _ask_row, _answer_row),
}
