# Sourced by the scripts beside it: finds Pythons and uv.

say() { printf '%s\n' "$*" >&2; }

# macOS names it shasum.
fingerprint() { { sha256sum "$1" 2>/dev/null || shasum -a 256 "$1"; } | cut -c1-16; }

# Companies put their own authority among the system's certificates; uv looks there only when told.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
fi

# is_python COMMAND 3.11: whether that starts a Python of that version.
is_python() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c "import sys; raise SystemExit('%d.%d' % sys.version_info[:2] != '$2')" >/dev/null 2>&1
}

# find_python 3.11: prints one that starts. A name on the PATH can be a shim that does not, so each is run before it is believed.
find_python() {
    for candidate in "python$1" python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1"*/bin/python \
        "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-"$1"*/bin/python \
        /opt/python/"$1"*/bin/python "/usr/local/bin/python$1"; do
        if is_python "$candidate" "$1"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# fetch_python 3.11: prints one that uv downloaded, where the network lets it.
fetch_python() { .tools/uv/bin/uv python install --quiet "$1" 2>/dev/null && .tools/uv/bin/uv python find "$1"; }

# find_any_python: prints one that can make a virtual environment, whatever its version.
find_any_python() {
    for candidate in "${PYTHON:-}" python3 python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1*/bin/python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 8)' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    say "No Python 3.8 or newer with pip and venv was found. On Debian or Ubuntu: apt install python3-venv"
    return 1
}

# get_uv PYTHON: uv installs a lock in seconds where pip takes minutes; it lives apart, so that .venv holds the lock and nothing else.
get_uv() {
    if [ ! -x .tools/uv/bin/uv ] || [ "$(cat .tools/uv/.lock 2>/dev/null)" != "$(fingerprint requirements/uv.txt)" ]; then
        rm -rf .tools/uv
        "$1" -m venv .tools/uv
        .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt >&2
        fingerprint requirements/uv.txt >.tools/uv/.lock
    fi
}

# get_maintenance PYTHON: the tools that look after locks and test lanes.
get_maintenance() {
    get_uv "$1"
    if [ "$(cat .tools/maintenance/.lock 2>/dev/null)" != "$(fingerprint requirements/maintenance.txt)" ]; then
        rm -rf .tools/maintenance
        .tools/uv/bin/uv venv --quiet --python "$1" .tools/maintenance
        .tools/uv/bin/uv pip sync --quiet --require-hashes --python .tools/maintenance/bin/python requirements/maintenance.txt
        fingerprint requirements/maintenance.txt >.tools/maintenance/.lock
    fi
}

# get_mlflow PYTHON: the release record's mirror, apart from TFX and its pins.
get_mlflow() {
    get_uv "$1"
    if [ "$(cat .tools/mlflow/.lock 2>/dev/null)" != "$(fingerprint requirements/mlflow.txt)" ]; then
        say "Preparing .tools/mlflow …"
        rm -rf .tools/mlflow
        .tools/uv/bin/uv venv --quiet --python "$1" .tools/mlflow
        .tools/uv/bin/uv pip sync --quiet --require-hashes --python .tools/mlflow/bin/python requirements/mlflow.txt
        fingerprint requirements/mlflow.txt >.tools/mlflow/.lock
    fi
}
