#!/bin/sh
# Makes .venv from the hashed lock: finds a fitting Python, or fetches one, and installs only what is missing.
#
#   prepare.sh run    what the pipeline needs
#   prepare.sh dev    that, and what tests, checks and benchmarks need
#
# PYTHON=/path/to/python3.10 names the interpreter to use.
set -eu
cd "$(dirname "$0")/../.."

stack=1.16
wanted=3.10
case "${1:-run}" in
    run) lock=requirements/tfx-$stack.txt ;;
    dev) lock=requirements/tfx-$stack-dev.txt ;;
    *) echo "usage: prepare.sh run|dev" >&2; exit 2 ;;
esac
dev_lock=requirements/tfx-$stack-dev.txt
venv=.venv

# Companies put their own authority among the system's certificates; uv looks there only when told.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
fi

say() { printf '%s\n' "$*" >&2; }

fingerprint() { sha256sum "$1" | cut -c1-16; }

# The stamp names the lock that stands in .venv; the dev lock holds all of the run lock.
installed=$(cat "$venv/.lock" 2>/dev/null || true)
if [ -x "$venv/bin/python" ] && [ -n "$installed" ] && { [ "$installed" = "$(fingerprint "$lock")" ] || [ "$installed" = "$(fingerprint "$dev_lock")" ]; }; then
    exit 0
fi

if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    say "TFX $stack has wheels for Linux on x86_64 only; this machine is $(uname -s) on $(uname -m)."
    say "Run it in a Linux container or virtual machine."
    exit 1
fi

fits() {
    "$1" -c "import sys, venv, ensurepip; raise SystemExit(sys.version_info[:2] != tuple(map(int, '$wanted'.split('.'))))" >/dev/null 2>&1
}

# A name on the PATH can be a shim that does not start, so each candidate is run before it is believed.
find_python() {
    for candidate in "${PYTHON:-}" "python$wanted" python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/$wanted*/bin/python \
        "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-$wanted*/bin/python \
        /opt/python/$wanted*/bin/python /usr/local/bin/python$wanted; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 && fits "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# uv installs the lock in seconds where pip takes minutes; it lives apart, so that .venv holds the lock and nothing else.
find_uv() {
    if [ ! -x .tools/uv/bin/uv ] || [ "$(cat .tools/uv/.lock 2>/dev/null)" != "$(fingerprint requirements/uv.txt)" ]; then
        for base in "$@" python3 python; do
            if [ -n "$base" ] && "$base" -c 'import venv, ensurepip' >/dev/null 2>&1; then
                rm -rf .tools/uv
                "$base" -m venv .tools/uv
                .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt >&2
                fingerprint requirements/uv.txt >.tools/uv/.lock
                break
            fi
        done
    fi
    [ -x .tools/uv/bin/uv ]
}

python=$(find_python) || python=
if ! find_uv "$python"; then
    say "No Python with pip and venv was found. On Debian or Ubuntu: apt install python3-venv"
    exit 1
fi
if [ -z "$python" ]; then
    say "No Python $wanted on the PATH, in pyenv or in uv: asking uv to fetch one …"
    if .tools/uv/bin/uv python install --quiet "$wanted" 2>/dev/null; then
        python=$(.tools/uv/bin/uv python find "$wanted")
    else
        say "TFX $stack needs Python $wanted, and none could be found or fetched. Get one by any of these, then call make again:"
        say "  pyenv install $wanted                      (https://github.com/pyenv/pyenv)"
        say "  conda create -n py310 python=$wanted       then make PYTHON=\$CONDA_PREFIX/bin/python …"
        say "  apt install python$wanted python$wanted-venv   (Ubuntu 22.04; newer Ubuntu by the deadsnakes PPA)"
        exit 1
    fi
fi

say "Preparing $venv with TFX $stack on $("$python" --version) ($python) …"
started=$(date +%s)
if [ ! -x "$venv/bin/python" ] || ! fits "$venv/bin/python"; then
    rm -rf "$venv"
    .tools/uv/bin/uv venv --quiet --python "$python" "$venv"
fi
rm -f "$venv/.lock"
.tools/uv/bin/uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock"
fingerprint "$lock" >"$venv/.lock"
say "Ready after $(($(date +%s) - started)) s."
