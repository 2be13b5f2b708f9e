#!/usr/bin/env bash
# math-verify 0.9.0 takes the last letter of a formula for a unit and drops it, before it compares.
#
# Its LaTeX normalisation (units_regex of latex2sympy2_extended) removes a one-letter unit behind a number. In an algebraic
# answer that letter is a variable: different formulas come out equal, and equal ones different. The default configuration
# (units=True) does it; who grades algebra has to switch it off: NormalizationConfig(..., units=False).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'math-verify==0.9.0' 'latex2sympy2-extended==1.11.0' 'sympy==1.14.0'
cat >"$folder/expected" <<'TXT'
gold $\sin x + 3$ answer $\sin x + 3t$ equal True
gold $|x| + 3$ answer $|x| + 3t$ equal True
gold $9c + 6$ answer $6 + 9c$ equal False
gold $4t$ answer $t\cdot 4$ equal False
TXT
"$folder/venv/bin/python" - >"$folder/seen" <<'PY'
from math_verify import parse, verify

for gold, answer in (
    (r"$\sin x + 3$", r"$\sin x + 3t$"),
    (r"$|x| + 3$", r"$|x| + 3t$"),
    (r"$9c + 6$", r"$6 + 9c$"),
    (r"$4t$", r"$t\cdot 4$"),
):
    print("gold", gold, "answer", answer, "equal", verify(parse(gold), parse(answer)))
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with math-verify 0.9.0"
