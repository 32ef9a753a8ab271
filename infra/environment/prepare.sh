#!/bin/sh
# Makes the virtual environment from a hashed lock: picks the newest TFX stack that this machine can load, finds a Python for it or
# fetches one, and installs only what is missing.
#
#   prepare.sh run    what the pipeline needs; MLflow, in .tools/mlflow, only where settings.yaml has registry:
#   prepare.sh dev    that, and what tests, checks and benchmarks need
#
# TFX=1.16 names the stack to use, in an environment of its own: .venv-1.16 beside .venv.
# PYTHON=/path/to/python3.11 names the interpreter to use.
set -eu
cd "$(dirname "$0")/../.."
. infra/environment/find.sh

case "${1:-run}" in
    run) kind= ;;
    dev) kind=-dev ;;
    *) say "usage: prepare.sh run|dev"; exit 2 ;;
esac
TFX=${TFX:-}
PYTHON=${PYTHON:-}
venv=.venv${TFX:+-$TFX}
if [ -L "$venv" ]; then
    say "$venv is a link to $(readlink "$venv"): bringing it up to this checkout's lock would change it for others. Remove the link"
    exit 1
fi

prepare_registry() {
    if [ -n "$kind" ] || grep -qs '^registry:' settings.yaml; then
        get_mlflow "$venv/bin/python"
    fi
}

# The stamp says which Python, stack and lock stand in the environment; a dev lock holds all of the run lock.
read -r version stack installed 2>/dev/null <"$venv/.lock" || installed=
if [ -x "$venv/bin/python" ] && [ -n "$installed" ] && { [ -z "$PYTHON" ] || is_python "$PYTHON" "$version"; }; then
    for lock in "requirements/tfx-$stack$kind.txt" "requirements/tfx-$stack-dev.txt"; do
        if [ "$installed" = "$(fingerprint "$lock" 2>/dev/null)" ]; then
            prepare_registry
            exit 0
        fi
    done
fi

any=$(find_any_python)
stacks() { "$any" -I pipeline/stacks.py "$@"; }
[ -z "$TFX" ] || stacks pythons "$TFX" >/dev/null

# choose STACK: sets python and its version, or why there is none.
choose() {
    why=$(stacks lacks "$1")
    [ -z "$why" ] || return 1
    versions=$(stacks pythons "$1")
    why="it runs on Python $(echo "$versions" | sed 's/ /, /g')"
    if [ -n "$PYTHON" ]; then
        python=$PYTHON
        for version in $versions; do
            ! is_python "$python" "$version" || return 0
        done
        why="$why, and PYTHON=$PYTHON is $("$PYTHON" --version 2>&1)"
        return 1
    fi
    for version in $versions; do
        ! python=$(find_python "$version") || return 0
    done
    version=${versions%% *}
    say "TFX $1: $why, and none is on the PATH, in pyenv or in uv. Asking uv to fetch $version …"
    get_uv "$any"
    ! python=$(fetch_python "$version") || return 0
    why="$why, and none could be found or fetched: pyenv install $version, or conda create -n tfx python=$version and then make PYTHON=…"
    return 1
}

chosen=
for stack in ${TFX:-$(stacks names)}; do
    if choose "$stack"; then
        chosen=yes
        break
    fi
    say "Not TFX $stack: $why."
done
[ -n "$chosen" ] || exit 1

lock=requirements/tfx-$stack$kind.txt
say "Preparing $venv with TFX $stack on $("$python" --version) ($python) …"
started=$(date +%s)
get_uv "$any"
if ! is_python "$venv/bin/python" "$version"; then
    rm -rf "$venv"
    .tools/uv/bin/uv venv --quiet --python "$python" "$venv"
fi
rm -f "$venv/.lock"
.tools/uv/bin/uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock" || {
    say "If pyfarmhash could not be built: it has no wheel for this Python and wants a C++ compiler and Python's headers"
    say "(apt install g++ python$version-dev; on a Mac, xcode-select --install)."
    exit 1
}
echo "$version $stack $(fingerprint "$lock")" >"$venv/.lock"
prepare_registry
say "Ready after $(($(date +%s) - started)) s."
