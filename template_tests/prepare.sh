#!/bin/sh
# Makes .tools/template: cookiecutter, cruft and check-jsonschema from their hashed lock. Users bring their own cookiecutter.
set -eu
cd "$(dirname "$0")/.."
. infra/environment/find.sh
lock=template_tests/requirements.txt
[ "$(cat .tools/template/.lock 2>/dev/null)" != "$(fingerprint "$lock")" ] || exit 0
python=$(find_python 3.10 || find_python 3.11 || find_python 3.12 || find_python 3.13)
get_uv "$python"
rm -rf .tools/template
.tools/uv/bin/uv venv --quiet --python "$python" .tools/template
.tools/uv/bin/uv pip sync --quiet --require-hashes --python .tools/template/bin/python "$lock"
fingerprint "$lock" >.tools/template/.lock
