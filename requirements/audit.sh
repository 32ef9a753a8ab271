#!/bin/sh
# Asks PyPI's advisory service about every locked package; fails on any advisory that requirements/advisories.md does not list.
set -eu
cd "$(dirname "$0")/.."
. infra/environment/find.sh
get_maintenance "$(find_any_python)"

accepted=$(sed -nE 's/^\| *((CVE|GHSA|PYSEC)-[A-Za-z0-9-]+) .*/--ignore-vuln \1/p' requirements/advisories.md)
failed=
for lock in requirements/tfx-*.txt requirements/gpu.txt requirements/mlflow.txt requirements/uv.txt requirements/maintenance.txt \
    template_tests/requirements.txt; do
    [ -e "$lock" ] || continue
    printf '%s: ' "$lock"
    # Strict: a package that could not be asked about is a failure, not a pass.
    # shellcheck disable=SC2086  # the words are options
    .tools/maintenance/bin/pip-audit --strict --disable-pip --require-hashes --desc off --progress-spinner off \
        $accepted --requirement "$lock" "$@" 2>&1 || failed=yes
done
[ -z "$failed" ]
