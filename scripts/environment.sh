# Sourced by the other scripts: changes to the project's root. ensure_environment then makes sure of its environment in .venv.
# ensure_browser makes sure of a Chromium for the browser tests, after ensure_environment.
#
# $PYTHON is taken, else the first Python >= 3.11 among python3, python3.13 …. The environment is used again as long as
# pyproject.toml and that Python are what they were; it is brought up to date otherwise. torch: the exact version first,
# for which many machines have a small CPU build at hand; any torch >= 2.6 will do, and one that is in .venv is kept.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate candidates=(python3 python3.13 python3.12 python3.11 python)
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    echo "roi-bench needs Python 3.11 or newer with venv and pip; there is none in: ${candidates[*]}" >&2
    echo "Install one (Debian, Ubuntu: python3 and python3-venv), or name it: PYTHON=/path/to/python bash $0" >&2
    return 1
}

environment_key() {
    "$1" -c 'import hashlib, sys
files = ("pyproject.toml", "hatch_build.py", "roi_bench/harness/startup.py", "roi_bench/__init__.py")
print(hashlib.sha256(b"".join(open(name, "rb").read() for name in files) + sys.version.encode()).hexdigest())'
}

# Bytecode is made where a module is first imported: compiling all of torch and transformers would take longer than installing them.
install() {
    local pip=(.venv/bin/python -m pip -qq --disable-pip-version-check)
    "${pip[@]}" install --upgrade "pip>=24"
    if ! .venv/bin/python -c 'import torch' 2>/dev/null; then
        "${pip[@]}" install --no-compile "torch==2.13.0" || "${pip[@]}" install --no-compile "torch>=2.6"
    fi
    "${pip[@]}" install --no-compile --editable ".[$1]"
}

# ensure_environment [EXTRAS]: with these extras of ours, joined by commas; by default with all that the tests need.
ensure_environment() {
    local python key extras=${1:-hf,api,train,leaderboard,fresh,dev} mark=.venv/roi-bench.key began=$SECONDS
    python=$(find_python) || exit 1
    key=$(environment_key "$python")
    if [ ! -x .venv/bin/python ]; then
        echo "Making .venv with $("$python" --version) …" >&2
        "$python" -m venv .venv
    fi
    if [ -n "${1:-}" ] && [ "$(cat "$mark" 2>/dev/null)" != "$key" ]; then
        mark=.venv/roi-bench.$1.key
    fi
    if [ "$(cat "$mark" 2>/dev/null)" != "$key" ]; then
        echo "Installing roi-bench and what it needs into .venv (minutes at first, nothing later) …" >&2
        install "$extras"
        printf '%s\n' "$key" >"$mark"
        echo "Installed in $((SECONDS - began)) s: $(du -sm .venv | cut -f1) MB" >&2
    fi
    PATH="$PWD/.venv/bin:$PATH"
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # models as small as ours are slower on more threads
}

# $ROI_BENCH_CHROMIUM is taken, else one on PATH, else one that Playwright keeps; exported as $ROI_BENCH_CHROMIUM.
find_browser() {
    local candidate
    for candidate in "${ROI_BENCH_CHROMIUM:-}" chromium chromium-browser google-chrome; do
        if use_browser "$candidate"; then return; fi
    done
    use_browser "$(playwright_browser)"
}

# It is asked for its version, because some distributions have a command of that name which only points elsewhere.
use_browser() {
    [ -n "$1" ] && "$1" --version >/dev/null 2>&1 || return 1
    ROI_BENCH_CHROMIUM=$(command -v "$1")
    export ROI_BENCH_CHROMIUM
}

playwright_browser() {
    python -c 'from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)' 2>/dev/null || true
}

ensure_browser() {
    if find_browser; then return; fi
    echo "Installing Chromium for the browser tests (once) …" >&2
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium; } \
            >/dev/null 2>&1 || true
    fi
    if find_browser; then return; fi
    python -m playwright install chromium >/dev/null 2>&1 || true
    if find_browser; then return; fi
    echo "There is no Chromium and none could be installed; the browser tests will fail. Name one: ROI_BENCH_CHROMIUM=…" >&2
}
