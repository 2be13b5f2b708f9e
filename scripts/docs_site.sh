#!/usr/bin/env bash
# The documentation as static pages with search and the reference of the Python API, warnings as errors; with .venv (see
# test.sh) also the shipped board. Half a minute at first, 200 MB; seconds later.
#
#   bash scripts/docs_site.sh [--venv DIR] [--out DIR] [--no-board]
#
# --venv: the environment, by default build/docs-venv; made if it is not there, and used as it is otherwise. --out: the
# pages, by default build/docs. Look at them with: python3 -m http.server --directory build/docs
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

venv=build/docs-venv out=build/docs board=yes
while [ $# -gt 0 ]; do
    case $1 in
    --venv) venv=${2:?--venv needs a folder} && shift 2 ;;
    --out) out=${2:?--out needs a folder} && shift 2 ;;
    --no-board) board='' && shift ;;
    *) echo "unknown argument $1; see the head of $0" >&2 && exit 2 ;;
    esac
done

# The extra docs alone: the pages are made of the sources, so roi-bench itself need not be installed.
requirements() {
    "$(find_python)" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")'
}

if [ ! -x "$venv/bin/mkdocs" ]; then
    echo "== making $venv"
    wanted=$(requirements)
    "$(find_python)" -m venv "$venv"
    mapfile -t wanted <<<"$wanted"
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install "${wanted[@]}"
fi
if [ -n "$board" ] && [ -x .venv/bin/roi-bench ]; then
    echo "== the shipped board"
    .venv/bin/roi-bench leaderboard build leaderboard/submissions --out build/board
    export ROI_BENCH_BOARD=$PWD/build/board
elif [ -n "$board" ]; then
    echo "No .venv with roi-bench: the site has no board (bash scripts/test.sh makes one)." >&2
fi
echo "== the pages"
PATH="$venv/bin:$PATH" NO_MKDOCS_2_WARNING=1 "$venv/bin/mkdocs" build --quiet --strict --site-dir "$(realpath -m "$out")"
echo "written to $out"
