#!/bin/sh
# Renews the hashed locks from the .in files. Versions stay unless the .in files or uv's --upgrade or --upgrade-package move them.
set -eu
cd "$(dirname "$0")/.."
[ -x .tools/uv/bin/uv ] || { echo "make lock prepares uv first: call it through make" >&2; exit 1; }
options=$*

# compile OUTPUT INPUT... [OPTION...]
compile() {
    output=$1
    shift
    # shellcheck disable=SC2086  # the words are options
    .tools/uv/bin/uv pip compile --quiet --generate-hashes --custom-compile-command "make lock" \
        "$@" $options --output-file "$output"
    echo "$output: $(grep -c '^[a-z].*==' "$output") packages"
}

# compile_stack NAME [OPTION...]: what the pipeline needs, then that with what tests need, in the same versions.
compile_stack() {
    name=requirements/tfx-$1
    shift
    compile "$name.txt" "$name.in" "$@"
    compile "$name-dev.txt" "$name.in" requirements/dev.in --constraints "$name.txt" "$@"
}

compile_stack 1.16 --python-version 3.10 --python-platform x86_64-manylinux_2_28
# One file for three Pythons and two platforms: markers tell them apart (tool.uv.environments in pyproject.toml).
compile_stack 1.21 --universal --python-version 3.11 --overrides requirements/tfx-1.21.overrides
# For the image alone, which is Linux with Python 3.13.
compile requirements/gpu.txt requirements/gpu.in --no-config --constraints requirements/tfx-1.21.txt \
    --overrides requirements/tfx-1.21.overrides --python-version 3.13 --python-platform x86_64-manylinux_2_39
# For the Pythons of both stacks, and without their markers.
compile requirements/mlflow.txt requirements/mlflow.in --no-config --universal --python-version 3.10
compile requirements/uv.txt requirements/uv.in --python-version 3.8
compile requirements/maintenance.txt requirements/maintenance.in --python-version 3.10
# Only the template has these tests.
[ ! -d template_tests ] ||
    compile template_tests/requirements.txt template_tests/requirements.in --no-config --universal --python-version 3.10
