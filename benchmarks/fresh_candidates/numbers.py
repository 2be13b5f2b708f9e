"""Whole numbers: equations, divisibility, remainders, sequences."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import lcm, prod
from random import Random

from benchmarks.fresh_candidates.kind import Facts, Kind, Size, Worked, added, listed, multiplied
from roi_bench.exams.fresh_solutions import prime_factors


def _draw_equation(random: Random, size: Size) -> Facts:
    x = random.randint(11, 70)
    if size["form"] == "one_side":
        a, b = random.randint(2, 9), random.randint(2, 40)
        return {"left": f"{a}x + {b}", "right": str(a * x + b), "lines": [[a, b], [0, a * x + b]]}
    if size["form"] == "two_sides":
        c, a = sorted(random.sample(range(2, 10), 2))
        b = random.randint(2, 40)
        return {"left": f"{a}x + {b}", "right": f"{c}x + {(a - c) * x + b}", "lines": [[a, b], [c, (a - c) * x + b]]}
    a, c, e = random.randint(2, 6), random.randint(2, 6), random.randint(2, 6)
    b, d = random.randint(1, 9), random.randint(1, 9)
    while a + c == e:
        e += 1
    rest = a * (x + b) + c * (x - d) - e * x
    right = f"{e}x {'+' if rest >= 0 else '-'} {abs(rest)}" if rest else f"{e}x"
    return {
        "left": f"{a}(x + {b}) + {c}(x - {d})",
        "right": right,
        "lines": [[a + c, a * b - c * d], [e, rest]],
        "brackets": f"{a}x + {a * b} + {c}x - {c * d}",
    }


def _ask_equation(facts: Facts) -> str:
    return f"Which number x solves {facts['left']} = {facts['right']}?"


def _line(slope: int, value: int) -> str:
    text = {0: "", 1: "x"}.get(slope, f"{slope}x")
    if not text or not value:
        return text or str(value)
    return f"{text} {'+' if value > 0 else '-'} {abs(value)}"


def _solve_equation(facts: Facts) -> Worked:
    (a, b), (c, d) = facts["lines"]
    steps = []
    if "brackets" in facts:
        steps.append(f"Expand the left side: {facts['brackets']} = {_line(a, b)}.")
        steps.append(f"So {_line(a, b)} = {_line(c, d)}.")
    if c:
        steps.append(f"Subtract {_line(c, 0)} from both sides: {_line(a - c, b)} = {d}.")
    if b:
        steps.append(f"{'Subtract' if b > 0 else 'Add'} {abs(b)}: {_line(a - c, 0)} = {d - b}.")
    x = (d - b) // (a - c)
    if a - c != 1:
        steps.append(f"Divide by {a - c}: x = {x}.")
    return steps, x


def _answer_equation(facts: Facts) -> int:
    (a, b), (c, d) = facts["lines"]
    (only,) = [x for x in range(-400, 400) if a * x + b == c * x + d]
    return only


def _draw_multiples(random: Random, size: Size) -> Facts:
    while True:
        one, two = sorted(random.sample(range(3, 13), 2))
        if two % one:
            return {"to": random.randint(*size["to"]), "any": [one, two]}


def _ask_multiples(facts: Facts) -> str:
    one, two = facts["any"]
    return f"How many whole numbers from 1 to {facts['to']} are divisible by {one} or by {two} (or by both)?"


def _solve_multiples(facts: Facts) -> Worked:
    (one, two), to = facts["any"], facts["to"]
    both = lcm(one, two)
    counts = [to // one, to // two, to // both]
    steps = [
        f"{to} / {d} gives {n}: {n} numbers are divisible by {d}." for d, n in zip((one, two), counts[:2], strict=True)
    ]
    steps.append(f"Divisible by both are the multiples of {both}: {to} / {both} gives {counts[2]}.")
    result = added([counts[0], counts[1], -counts[2]], steps)
    return steps, result


def _answer_multiples(facts: Facts) -> int:
    return sum(any(n % d == 0 for d in facts["any"]) for n in range(1, facts["to"] + 1))


def _draw_stretch(random: Random, size: Size) -> Facts:
    step, low = random.randint(*size["step"]), random.randint(10, 99)
    high = low + step * random.randint(*size["terms"]) + random.randint(0, step - 1)
    return {"step": step, "low": low, "high": high, "rest": random.randint(1, step - 1) if size.get("rest") else 0}


def _ask_stretch(facts: Facts) -> str:
    if facts["rest"]:
        return (
            f"What is the sum of all whole numbers from {facts['low']} to {facts['high']} that leave the remainder "
            f"{facts['rest']} when divided by {facts['step']}?"
        )
    return f"What is the sum of all multiples of {facts['step']} from {facts['low']} to {facts['high']}?"


def _solve_stretch(facts: Facts) -> Worked:
    step, low, high = facts["step"], facts["low"], facts["high"]
    first = low + (facts["rest"] - low) % step
    last = high - (high - facts["rest"]) % step
    count = (last - first) // step + 1
    steps = [f"The first is {first}, the last {last}, in steps of {step}."]
    steps.append(f"There are ({last} - {first}) / {step} + 1 = {count} of them.")
    steps.append(f"First and last together are {first} + {last} = {first + last}.")
    total = count * (first + last) // 2
    return [*steps, f"The sum is {count} × {first + last} / 2 = {total}."], total


def _answer_stretch(facts: Facts) -> int:
    return sum(n for n in range(facts["low"], facts["high"] + 1) if n % facts["step"] == facts["rest"])


def _draw_divisor_sum(random: Random, size: Size) -> Facts:
    while True:
        n = random.randint(*size["range"])
        if sum(n % d == 0 for d in range(1, n + 1)) >= size["divisors"]:
            return {"n": n}


def _solve_divisor_sum(facts: Facts) -> Worked:
    """The sum is the product of 1 + p + … + p^k over the prime powers."""
    divisions, factors = prime_factors(facts["n"])
    steps, sums = [f"{step}." for step in divisions], []
    for prime, power in Counter(factors).items():
        powers = [prime**k for k in range(power + 1)]
        sums.append(sum(powers))
        steps.append(f"For the prime {prime}: {' + '.join(map(str, powers))} = {sums[-1]}.")
    steps.append("The sum of the divisors is the product of these sums.")
    return steps, multiplied(sums, steps)


def _draw_power(random: Random, size: Size) -> Facts:
    while True:
        m, a, e = (random.randint(*size[name]) for name in ("modulus", "base", "exponent"))
        is_prime = all(
            m % d for d in range(2, 15)
        )  # of others the powers are few, and good guesses; so are 1 and m - 1
        if is_prime and 2 < pow(a, e, m) < m - 2:
            return {"a": a, "e": e, "m": m}


def _solve_power(facts: Facts) -> Worked:
    """Square again and again, then multiply the powers that the exponent is the sum of."""
    a, e, m = facts["a"], facts["e"], facts["m"]
    steps, rests, power = [f"{a} leaves {a % m} when divided by {m}."], {1: a % m}, 1
    while 2 * power <= e:
        square = rests[power] ** 2
        power *= 2
        rests[power] = square % m
        base = rests[power // 2]
        steps.append(f"{a}^{power}: {base} × {base} = {square}, which leaves {rests[power]}.")
    used = [p for p in reversed(rests) if e & p]
    if len(used) > 1:
        steps.append(f"{e} = {' + '.join(map(str, used))}.")
    result = rests[used[0]]
    for p in used[1:]:
        product = result * rests[p]
        steps.append(f"{result} × {rests[p]} = {product}, which leaves {product % m}.")
        result = product % m
    return steps, result


def _answer_power(facts: Facts) -> int:
    return pow(facts["a"], facts["e"], facts["m"])


def _draw_remainders(random: Random, size: Size) -> Facts:
    while True:
        moduli = sorted(random.sample(size["moduli"], size["count"]))
        if lcm(*moduli) == prod(moduli):
            break
    x = random.randint(10, prod(moduli) - 1)
    return {"moduli": moduli, "rests": [x % m for m in moduli]}


def _ask_remainders(facts: Facts) -> str:
    lines = [f"{rest} when divided by {m}" for m, rest in zip(facts["moduli"], facts["rests"], strict=True)]
    return f"What is the smallest positive whole number that leaves the remainder {listed(lines)}?"


def _solve_remainders(facts: Facts) -> Worked:
    """Sieve: go through the numbers that meet the largest conditions until the next one is met as well."""
    pairs = sorted(zip(facts["moduli"], facts["rests"], strict=True), reverse=True)
    step, x = pairs[0]
    x = x or step
    steps = [f"Start with the numbers that leave {pairs[0][1]} when divided by {step}: {x}, {x + step}, …"]
    for modulus, rest in pairs[1:]:
        tried = [x]
        while tried[-1] % modulus != rest:
            tried.append(tried[-1] + step)
        left = ", ".join(f"{number} leaves {number % modulus}" for number in tried)
        steps.append(f"Divided by {modulus}: {left}.")
        x, step = tried[-1], step * modulus
        steps.append(f"So {x} meets this one too; from here on go in steps of {step}.")
    return steps, x


def _answer_remainders(facts: Facts) -> int:
    pairs = list(zip(facts["moduli"], facts["rests"], strict=True))
    return next(x for x in range(1, prod(facts["moduli"]) + 1) if all(x % m == rest for m, rest in pairs))


def _draw_recurrence(random: Random, size: Size) -> Facts:
    moduli = [n for n in range(41, 98) if all(n % d for d in range(2, 10))]
    return {
        "p": random.randint(*size["p"]),
        "q": random.randint(*size["q"]),
        "n": random.randint(*size["n"]),
        "start": [random.randint(2, 19) for _ in range(size["order"])],
        "m": random.choice(moduli) if size.get("mod") else None,
    }


def _ask_recurrence(facts: Facts) -> str:
    if len(facts["start"]) == 1:
        start = f"The first term of a sequence is {facts['start'][0]}"
        rule = f"each term is {facts['p']} times the term before it plus {facts['q']}"
    else:
        start = f"The first two terms of a sequence are {facts['start'][0]} and {facts['start'][1]}"
        rule = f"each term is the term before it plus {facts['p']} times the one before that"
    if facts["m"]:
        rule += f", and of that the remainder when divided by {facts['m']}"
    return f"{start}; after that, {rule}. What is term number {facts['n']}?"


def _solve_recurrence(facts: Facts) -> Worked:
    terms, p, q, m = list(facts["start"]), facts["p"], facts["q"], facts["m"]
    steps = [f"Term {k}: {term}." for k, term in enumerate(terms, start=1)]
    while len(terms) < facts["n"]:
        if len(facts["start"]) == 1:
            new, shown = p * terms[-1] + q, f"{p} × {terms[-1]} + {q}"
        else:
            new = terms[-1] + p * terms[-2]
            shown = f"{terms[-1]} + {p} × {terms[-2]}" if p > 1 else f"{terms[-1]} + {terms[-2]}"
        terms.append(new % m if m else new)
        steps.append(f"Term {len(terms)}: {shown} = {new}" + (f", remainder {terms[-1]}." if m else "."))
    return steps, terms[-1]


def _answer_recurrence(facts: Facts) -> int:
    """From the last term backwards."""
    p, q, m = facts["p"], facts["q"], facts["m"]

    def term(k: int, known: dict[int, int]) -> int:
        if k not in known:
            one = len(facts["start"]) == 1
            value = p * term(k - 1, known) + q if one else term(k - 1, known) + p * term(k - 2, known)
            known[k] = value % m if m else value
        return known[k]

    return term(facts["n"], dict(enumerate(facts["start"], start=1)))


def _draw_pattern(random: Random, size: Size) -> Facts:
    if size["degree"] == 1:
        coefficients = [0, random.randint(3, 12), random.randint(1, 40)]
        return {"coefficients": coefficients, "n": random.randint(*size["n"])}
    coefficients = [random.randint(1, 4), random.randint(1, 9), random.randint(1, 20)]
    return {"coefficients": coefficients, "n": random.randint(*size["n"])}


def _terms(facts: Facts, count: int) -> list[int]:
    a, b, c = facts["coefficients"]
    return [a * n * n + b * n + c for n in range(1, count + 1)]


def _ask_pattern(facts: Facts) -> str:
    kind = (
        "the differences between neighbouring terms grow by the same number each time"
        if facts["coefficients"][0]
        else "neighbouring terms always have the same difference"
    )
    shown = ", ".join(map(str, _terms(facts, 5)))
    return f"A sequence starts with {shown}, and {kind}. What is term number {facts['n']}?"


def _solve_pattern(facts: Facts) -> Worked:
    first, second, *_ = terms = _terms(facts, 5)
    if not facts["coefficients"][0]:
        gap, away = second - first, facts["n"] - 1
        steps = [f"The difference is {second} - {first} = {gap}."]
        steps.append(f"Term {facts['n']} comes {away} steps after the first: {away} × {gap} = {away * gap}.")
        return [*steps, f"{first} + {away * gap} = {first + away * gap}."], first + away * gap
    gaps = [b - a for a, b in pairwise(terms)]
    growth = gaps[1] - gaps[0]
    steps = [f"The differences are {', '.join(map(str, gaps))}; they grow by {growth}."]
    term, gap = terms[-1], gaps[-1]
    for k in range(6, facts["n"] + 1):
        gap += growth
        steps.append(f"Term {k}: {term} + {gap} = {term + gap}.")
        term += gap
    return steps, term


def _answer_pattern(facts: Facts) -> int:
    return _terms(facts, facts["n"])[-1]


KINDS = {
    "equation": Kind("algebra", _draw_equation, _ask_equation, _solve_equation, _answer_equation),
    "multiples": Kind("number theory", _draw_multiples, _ask_multiples, _solve_multiples, _answer_multiples),
    "stretch": Kind("sequences", _draw_stretch, _ask_stretch, _solve_stretch, _answer_stretch),
    "divisor_sum": Kind(
        "number theory",
        _draw_divisor_sum,
        lambda f: f"What is the sum of all positive divisors of {f['n']}, including 1 and {f['n']}?",
        _solve_divisor_sum,
        lambda f: sum(d for d in range(1, f["n"] + 1) if f["n"] % d == 0),
    ),
    "power": Kind(
        "number theory",
        _draw_power,
        lambda f: f"What is the remainder when {f['a']}^{f['e']} is divided by {f['m']}?",
        _solve_power,
        _answer_power,
    ),
    "remainders": Kind("number theory", _draw_remainders, _ask_remainders, _solve_remainders, _answer_remainders),
    "recurrence": Kind("sequences", _draw_recurrence, _ask_recurrence, _solve_recurrence, _answer_recurrence),
    "pattern": Kind("sequences", _draw_pattern, _ask_pattern, _solve_pattern, _answer_pattern),
}
