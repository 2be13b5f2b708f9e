#!/usr/bin/env bash
# Builds what a package index would get, checks it, and with --tag tags the commit. Nothing is uploaded. Exit code 0 only if all is well.
#
#   bash scripts/release.sh [--out DIR] [--without-tests] [--tag]
#
# Checked: nothing is uncommitted; one version everywhere, not tagged before and, for --tag, with a dated section in CHANGELOG.md;
# twine and check-wheel-contents; a page without dead links; the wheel built from the sdist is that from the checkout; the wheel
# without extras works in an environment of its own; the sdist's own tests pass. --out: where both files go, by default dist.
# The tests take as long as scripts/test.sh, all else three minutes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/installed_sets.sh"

out=dist tests=yes tag=''
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=${2:?--out needs a folder} && shift 2 ;;
    --without-tests) tests='' && shift ;;
    --tag) tag=yes && shift ;;
    *) echo "unknown argument $1; see the head of $0" >&2 && exit 2 ;;
    esac
done
read_options

refuse() { echo "Not released: $*" >&2 && exit 1; }

[ -e .git ] || refuse "this is no clone; a release needs the repository and its tags"
[ -z "$(git status --porcelain)" ] || refuse "there are changes that are not committed; see git status"
commit=$(git rev-parse HEAD)
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' roi_bench/__init__.py)
cited=$(sed -n 's/^version: //p' CITATION.cff)
[ "$version" = "$cited" ] || refuse "roi_bench/__init__.py says '$version', CITATION.cff '$cited'; give both one version"
! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || refuse "v$version is tagged already; raise __version__"
if [ -n "$tag" ]; then
    grep -Eq "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
        refuse "CHANGELOG.md has no section '## [$version] - YYYY-MM-DD'; give '## [Unreleased]' that name"
fi

echo "== build $version"
tools=$scratch/tools
make_environment "$tools"
pip_of "$tools" install build check-wheel-contents twine
"$tools/bin/python" -m build --outdir "$scratch/both" . >"$scratch/build.txt" 2>&1 || { tail -n 20 "$scratch/build.txt" >&2 && exit 1; }
"$tools/bin/python" -m build --wheel --outdir "$scratch/direct" . >"$scratch/build.txt" 2>&1 || { tail -n 20 "$scratch/build.txt" >&2 && exit 1; }
wheel=$(basename "$scratch"/both/*.whl)
cmp "$scratch/both/$wheel" "$scratch/direct/$wheel" || refuse "the wheel built from the sdist is not that from the checkout"

echo "== check"
"$tools/bin/python" -m twine check --strict "$scratch"/both/*
# The tiny models share files (W002); the start-up files lie beside the package (W003, W009), and nothing else may.
"$tools/bin/check-wheel-contents" --ignore W002,W003,W009 \
    --toplevel roi_bench,_roi_bench_startup.py,roi_bench_bridge.start "$scratch/both/$wheel"
"$tools/bin/python" scripts/index_page.py "$scratch/both/$wheel"

echo "== install, without extras"
make_environment "$scratch/base"
pip_of "$scratch/base" install "$scratch/both/$wheel"
"$scratch/base/bin/python" scripts/try_installed.py --out "$scratch/tried" --parts doctor,base

if [ -n "$tests" ]; then
    echo "== the sdist's own tests"
    ensure_environment
    ensure_browser
    mkdir "$scratch/sdist"
    tar -xzf "$scratch"/both/*.tar.gz -C "$scratch/sdist" --strip-components 1
    (cd "$scratch/sdist" && HF_HUB_OFFLINE=1 PYTHONPATH=$PWD \
        python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -p no:cacheprovider)
fi

mkdir -p "$out"
cp "$scratch"/both/* "$out"
if [ -n "$tag" ]; then git tag --annotate "v$version" --message "roi-bench $version" "$commit"; fi
echo "== $version is in $out${tag:+, and tagged v$version}; upload: twine upload $out/*$version*"
