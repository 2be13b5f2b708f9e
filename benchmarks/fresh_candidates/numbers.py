"""Whole numbers: equations, divisibility, remainders, sequences."""

from __future__ import annotations

from math import gcd, lcm, prod
from random import Random

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, listed


def _text(numbers: list[int]) -> str:
    return listed(list(map(str, numbers)))


def _draw_equation(random: Random, size: Size) -> Facts:
    x = random.randint(3, 60)
    if size["form"] == "two_sides":
        c, a = sorted(random.sample(range(2, 10), 2))
        b = random.randint(2, 40)
        return {"left": f"{a}x + {b}", "right": f"{c}x + {(a - c) * x + b}", "lines": [[a, b], [c, (a - c) * x + b]]}
    a, c, m = random.randint(2, 6), random.randint(2, 6), random.randint(2, 5)
    b, d, e = random.randint(1, 9), random.randint(1, 9), random.randint(2, 6)
    x += -x % m
    while a * m + c == e * m:
        e += 1
    rest = a * (x + b) - c * (d - x // m) - e * (x - d)
    return {
        "left": f"{a}(x + {b}) - {c}({d} - x/{m})",
        "right": f"{e}(x - {d}) {'+' if rest >= 0 else '-'} {abs(rest)}",
        # both sides times m, as slope and value at 0
        "lines": [[a * m + c, m * (a * b - c * d)], [e * m, m * (rest - e * d)]],
    }


def _ask_equation(facts: Facts) -> str:
    return f"Which number x solves {facts['left']} = {facts['right']}?"


def _answer_equation(facts: Facts) -> int:
    (a, b), (c, d) = facts["lines"]
    (only,) = [x for x in range(-400, 400) if a * x + b == c * x + d]
    return only


def _draw_multiples(random: Random, size: Size) -> Facts:
    n = random.randint(*size["to"])
    divisors = random.sample([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], size["divisors"])
    return {
        "from": random.randint(2, 60) if size.get("from") else 1,
        "to": n,
        "any": divisors,
        "none": size.get("none", 0) and random.choice([7, 11, 13]),
    }


def _ask_multiples(facts: Facts) -> str:
    but = f", but not by {facts['none']}" if facts["none"] else ""
    many = len(facts["any"]) > 1
    head = f"How many whole numbers from {facts['from']} to {facts['to']} are divisible by "
    return head + (f"at least one of {_text(facts['any'])}" if many else str(facts["any"][0])) + but + "?"


def _answer_multiples(facts: Facts) -> int:
    return sum(
        any(n % d == 0 for d in facts["any"]) and not (facts["none"] and n % facts["none"] == 0)
        for n in range(facts["from"], facts["to"] + 1)
    )


def _draw_stretch(random: Random, size: Size) -> Facts:
    step = random.randint(*size["step"])
    low = random.randint(10, 99)
    return {
        "step": step,
        "low": low,
        "high": low + step * random.randint(*size["terms"]) + random.randint(0, step - 1),
        "rest": random.randint(0, step - 1) if size.get("rest") else 0,
    }


def _ask_stretch(facts: Facts) -> str:
    if facts["rest"]:
        return (
            f"What is the sum of all whole numbers from {facts['low']} to {facts['high']} that leave the "
            f"remainder {facts['rest']} when divided by {facts['step']}?"
        )
    return f"What is the sum of all multiples of {facts['step']} from {facts['low']} to {facts['high']}?"


def _answer_stretch(facts: Facts) -> int:
    return sum(n for n in range(facts["low"], facts["high"] + 1) if n % facts["step"] == facts["rest"])


def _draw_gcd(random: Random, size: Size) -> Facts:
    g = random.randint(*size["gcd"])
    a, b = random.sample(range(*size["factors"]), 2)
    return {"numbers": [g * a, g * b]}


def _draw_lcm(random: Random, size: Size) -> Facts:
    return {"numbers": random.sample(range(*size["range"]), size["count"])}


def _draw_divisor_sum(random: Random, size: Size) -> Facts:
    while True:
        n = random.randint(*size["range"])
        if sum(n % d == 0 for d in range(1, n + 1)) >= size["divisors"]:
            return {"n": n}


def _draw_power(random: Random, size: Size) -> Facts:
    while True:
        m = random.randint(*size["modulus"])
        a = random.randint(*size["base"])
        if gcd(a, m) == 1:
            return {"a": a, "e": random.randint(*size["exponent"]), "m": m}


def _draw_digits(random: Random, size: Size) -> Facts:
    low = random.randint(*size["low"])
    return {"low": low, "high": low + random.randint(*size["width"]), "sum": random.randint(*size["sum"])}


def _draw_remainders(random: Random, size: Size) -> Facts:
    while True:
        moduli = sorted(random.sample(size["moduli"], size["count"]))
        if lcm(*moduli) == prod(moduli):
            break
    x = random.randint(10, lcm(*moduli) - 1)
    return {"moduli": moduli, "rests": [x % m for m in moduli]}


def _ask_remainders(facts: Facts) -> str:
    lines = [f"{rest} when divided by {m}" for m, rest in zip(facts["moduli"], facts["rests"], strict=True)]
    return f"What is the smallest positive whole number that leaves the remainder {listed(lines)}?"


def _answer_remainders(facts: Facts) -> int:
    return next(
        x for x in range(1, 10**6) if all(x % m == r for m, r in zip(facts["moduli"], facts["rests"], strict=True))
    )


def _draw_recurrence(random: Random, size: Size) -> Facts:
    facts = {
        "order": size["order"],
        "p": random.randint(*size["p"]),
        "q": random.randint(*size["q"]),
        "n": random.randint(*size["n"]),
    }
    facts["start"] = [random.randint(1, 9) for _ in range(size["order"])]
    facts["m"] = (
        random.choice([n for n in range(41, 98) if all(n % d for d in range(2, 10))]) if size.get("mod") else None
    )
    return facts


def _ask_recurrence(facts: Facts) -> str:
    if facts["order"] == 1:
        rule = f"each term is {facts['p']} times the term before it plus {facts['q']}"
    else:
        rule = f"each term is the term before it plus {facts['p']} times the one before that"
    if facts["m"]:
        rule += f", and of that the remainder when divided by {facts['m']}"
    start = (
        f"The first term of a sequence is {facts['start'][0]}"
        if facts["order"] == 1
        else f"The first two terms of a sequence are {facts['start'][0]} and {facts['start'][1]}"
    )
    return f"{start}; after that, {rule}. What is term number {facts['n']}?"


def _answer_recurrence(facts: Facts) -> int:
    terms = list(facts["start"])
    while len(terms) < facts["n"]:
        new = facts["p"] * terms[-1] + facts["q"] if facts["order"] == 1 else terms[-1] + facts["p"] * terms[-2]
        terms.append(new % facts["m"] if facts["m"] else new)
    return int(terms[facts["n"] - 1])


def _draw_pattern(random: Random, size: Size) -> Facts:
    a, b, c = random.randint(1, 4), random.randint(1, 9), random.randint(1, 20)
    if size["degree"] == 1:
        return {"coefficients": [0, random.randint(3, 12), random.randint(1, 40)], "n": random.randint(15, 40)}
    return {"coefficients": [a, b, c], "n": random.randint(10, 20)}


def _ask_pattern(facts: Facts) -> str:
    a, b, c = facts["coefficients"]
    shown = ", ".join(str(a * n * n + b * n + c) for n in range(1, 6))
    kind = (
        "the differences between neighbouring terms grow by the same number each time"
        if a
        else "neighbouring terms always have the same difference"
    )
    return f"A sequence starts with {shown}, and {kind}. What is term number {facts['n']}?"


def _answer_pattern(facts: Facts) -> int:
    a, b, c = facts["coefficients"]
    return int(a * facts["n"] ** 2 + b * facts["n"] + c)


KINDS = {
    "equation": Kind("algebra", _draw_equation, _ask_equation, _answer_equation),
    "multiples": Kind("number theory", _draw_multiples, _ask_multiples, _answer_multiples),
    "stretch": Kind("sequences", _draw_stretch, _ask_stretch, _answer_stretch),
    "gcd": Kind(
        "number theory",
        _draw_gcd,
        lambda f: f"What is the greatest common divisor of {_text(f['numbers'])}?",
        lambda f: gcd(*f["numbers"]),
    ),
    "lcm": Kind(
        "number theory",
        _draw_lcm,
        lambda f: f"What is the least common multiple of {_text(f['numbers'])}?",
        lambda f: lcm(*f["numbers"]),
    ),
    "divisor_sum": Kind(
        "number theory",
        _draw_divisor_sum,
        lambda f: f"What is the sum of all positive divisors of {f['n']}, including 1 and {f['n']}?",
        lambda f: sum(d for d in range(1, f["n"] + 1) if f["n"] % d == 0),
    ),
    "power": Kind(
        "number theory",
        _draw_power,
        lambda f: f"What is the remainder when {f['a']}^{f['e']} is divided by {f['m']}?",
        lambda f: pow(f["a"], f["e"], f["m"]),
    ),
    "digits": Kind(
        "counting",
        _draw_digits,
        lambda f: f"How many whole numbers from {f['low']} to {f['high']} have digits that add up to {f['sum']}?",
        lambda f: sum(sum(map(int, str(n))) == f["sum"] for n in range(f["low"], f["high"] + 1)),
    ),
    "remainders": Kind("number theory", _draw_remainders, _ask_remainders, _answer_remainders),
    "recurrence": Kind("sequences", _draw_recurrence, _ask_recurrence, _answer_recurrence),
    "pattern": Kind("sequences", _draw_pattern, _ask_pattern, _answer_pattern),
}
