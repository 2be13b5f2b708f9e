# Sourced by check_lowest.sh, check_newest.sh and try_lm_eval_0_5.sh: environments for them, and what is tried in each.
#
# Options of all three: --sets NAMES (of base,use,train, joined by commas), --folder DIR: where the environments are made and kept;
# one that is there is used as it is. Else a temporary one, removed at the end.
#
#   base   no extra: wheels alone but for three packages of lm_eval, at most 40 MB more than lm_eval and math-verify
#   use    hf and leaderboard: a task, plain lm_eval, a report, a pack, a board
#   train  the trainer, from labels to the evaluation of every stage

. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

MOST_MB=40 # that the base may add to lm_eval and math-verify
TORCH=${TORCH:-torch==2.13.0} # both ends: CUDA builds are gigabytes, and many machines have a CPU build of this one at hand
# lm_eval has three packages that have no wheel on the index; they are pure Python, and nothing is compiled.
WHEELS=(--only-binary ":all:" --no-binary "rouge-score,sqlitedict,word2number")

sets=base,use,train folder=''
read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
        --sets) sets=${2:?--sets needs names} && shift 2 ;;
        --folder) folder=${2:?--folder needs a folder} && shift 2 ;;
        *) echo "unknown argument $1; see the head of $0" >&2 && exit 2 ;;
        esac
    done
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    folder=${folder:-$scratch}
}

extras() {
    case $1 in base) echo "" ;; use) echo "hf,leaderboard" ;; train) echo "train" ;; *) echo "unknown set $1" >&2 && return 2 ;; esac
}

parts() {
    case $1 in base) echo doctor,base ;; use) echo doctor,task,trained,plain,drawn,report,pack,board ;; train) echo doctor,train ;; esac
}

make_environment() { # where
    "$(find_python)" -m venv "$1"
    "$1/bin/python" -m pip -qq --disable-pip-version-check install --upgrade "pip>=24"
}

pip_of() { # environment, arguments
    local environment=$1
    shift
    "$environment/bin/python" -m pip -qq --disable-pip-version-check "$@"
}

# install_set ENVIRONMENT SET ARGUMENTS…: ours with the extras of the set, as users install it; the arguments go to pip.
install_set() {
    local environment=$1 named
    named=$(extras "$2")
    make_environment "$environment"
    if [ -z "$named" ]; then
        pip_of "$environment" install "${WHEELS[@]}" --no-binary "roi-bench" "${@:3}" .
    else
        pip_of "$environment" install "${@:3}" "$TORCH" ".[$named]"
    fi
}

megabytes() { du -sm "$1" | cut -f1; }

# What the base adds to lm_eval and math-verify: these two are installed beside it, in the versions that it has.
check_size() {
    local environment=$1 bare=$1-bare added
    if [ ! -x "$bare/bin/python" ]; then
        make_environment "$bare"
        "$environment/bin/python" -m pip --disable-pip-version-check freeze --exclude roi-bench >"$scratch/versions"
        pip_of "$bare" install --constraint "$scratch/versions" lm_eval math-verify
    fi
    added=$(($(megabytes "$environment") - $(megabytes "$bare")))
    echo "base: $(megabytes "$environment") MB, of which $added MB are more than lm_eval and math-verify"
    [ "$added" -le "$MOST_MB" ] || { echo "FAIL  that is more than $MOST_MB MB" && return 1; }
}

# try_sets END ARGUMENTS…: install and try each set; the function pip_arguments SET prints what else pip is told, one a line.
try_sets() {
    local failed=0 set environment arguments
    for set in ${sets//,/ }; do
        extras "$set" >/dev/null
        environment=$folder/$1-$set
        echo "== $1 $set"
        if [ ! -x "$environment/bin/python" ]; then
            mapfile -t arguments < <(pip_arguments "$set")
            wait "$!" || { failed=1 && continue; } # without its arguments it would be another set that is tried
            install_set "$environment" "$set" "${arguments[@]}" || { rm -rf "$environment" && failed=1 && continue; }
            echo "installed after $SECONDS s, $(megabytes "$environment") MB"
        fi
        if [ "$set" = base ]; then check_size "$environment" || failed=1; fi
        "$environment/bin/python" -m pip check || failed=1
        "$environment/bin/python" scripts/try_installed.py --out "$(mktemp -d -p "$scratch")/out" --parts "$(parts "$set")" || failed=1
    done
    return "$failed"
}
