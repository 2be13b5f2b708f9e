#!/usr/bin/env bash
# math-verify 0.9.0 decides for gold and answer apart, by the LaTeX around it, whether the letter i is the imaginary unit.
#
# One and the same complex number written in two ways is then a number on one side and a polynomial in a variable i on the
# other, and the two are not equal. Who grades complex answers has to bring both sides to one reading of i first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'math-verify==0.9.0' 'latex2sympy2-extended==1.11.0' 'sympy==1.14.0'
cat >"$folder/expected" <<'TXT'
gold $8-i$ answer $8-1i$ equal False
gold $3+4i$ answer $3+4\cdot i$ equal False
gold $\frac{1}{5} + \frac{3}{5}i$ answer $\frac{1+3i}{5}$ equal False
gold $8-i$ answer $8-i$ equal True
TXT
"$folder/venv/bin/python" - >"$folder/seen" <<'PY'
from math_verify import parse, verify

for gold, answer in (
    (r"$8-i$", r"$8-1i$"),
    (r"$3+4i$", r"$3+4\cdot i$"),
    (r"$\frac{1}{5} + \frac{3}{5}i$", r"$\frac{1+3i}{5}$"),
    (r"$8-i$", r"$8-i$"),
):
    print("gold", gold, "answer", answer, "equal", verify(parse(gold), parse(answer)))
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with math-verify 0.9.0"
