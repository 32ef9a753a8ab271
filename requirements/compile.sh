#!/bin/sh
# Renews the hashed locks from the .in files. Versions stay unless the .in files or --upgrade move them.
set -eu
cd "$(dirname "$0")/.."
[ -x .tools/uv/bin/uv ] || { echo "make lock prepares uv first: call it through make" >&2; exit 1; }

compile() {
    output=$1
    shift
    .tools/uv/bin/uv pip compile --quiet --generate-hashes --python-version 3.10 \
        --python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock" \
        "$@" --output-file "$output"
    echo "$output: $(grep -c '==' "$output") packages"
}

upgrade=${1:-}
compile requirements/tfx-1.16.txt requirements/tfx-1.16.in ${upgrade:+"$upgrade"}
compile requirements/tfx-1.16-dev.txt requirements/tfx-1.16.in requirements/dev.in \
    --constraints requirements/tfx-1.16.txt ${upgrade:+"$upgrade"}
.tools/uv/bin/uv pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" \
    requirements/uv.in --output-file requirements/uv.txt
