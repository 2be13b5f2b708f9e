#!/usr/bin/env bash
# math-verify 0.9.0 compares exact numbers by their difference to 15 decimal places: small numbers are all equal.
#
# A fraction of large powers and one that is twice as large count as the same answer, although both are exact. Who grades
# probabilities or other small exact numbers has to compare their ratio as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install 'math-verify==0.9.0' 'latex2sympy2-extended==1.11.0' 'sympy==1.14.0'
cat >"$folder/expected" <<'TXT'
gold $\frac{1}{2^{60}}$ answer $\frac{2}{2^{60}}$ equal True
gold $\frac{1}{3^{40}}$ answer $\frac{1}{5^{40}}$ equal True
gold $\frac{1}{2^{20}}$ answer $\frac{2}{2^{20}}$ equal False
TXT
"$folder/venv/bin/python" - >"$folder/seen" <<'PY'
from math_verify import parse, verify

for gold, answer in (
    (r"$\frac{1}{2^{60}}$", r"$\frac{2}{2^{60}}$"),
    (r"$\frac{1}{3^{40}}$", r"$\frac{1}{5^{40}}$"),
    (r"$\frac{1}{2^{20}}$", r"$\frac{2}{2^{20}}$"),
):
    print("gold", gold, "answer", answer, "equal", verify(parse(gold), parse(answer)))
PY
cat "$folder/seen"
diff "$folder/expected" "$folder/seen" && echo "as seen with math-verify 0.9.0"
