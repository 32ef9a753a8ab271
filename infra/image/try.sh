#!/bin/sh
# Builds the image really, where no registry can be reached and no docker server runs: on a Debian 13 made from Debian's packages
# (mmdebstrap), with buildah in a chroot. Then tries it as tasks use it, and measures. Needs root, 20 GB of disk and ten minutes:
#
#   apt install --no-install-recommends buildah mmdebstrap && infra/image/try.sh
set -eu
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot ENGINE=buildah

say() { printf '\n=== %s\n' "$*"; }

for tool in buildah mmdebstrap; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt install --no-install-recommends buildah mmdebstrap" >&2; exit 1; }
done
work=$(mktemp -d)
container=
trap '[ -z "$container" ] || buildah rm "$container" >/dev/null; rm -rf "$work"' EXIT

say "A Debian 13, with this machine's certificate authorities"
set -- --variant=minbase --include=ca-certificates
for certificate in /usr/local/share/ca-certificates/*.crt; do
    [ ! -e "$certificate" ] || set -- "$@" --customize-hook="copy-in $certificate /usr/local/share/ca-certificates"
done
# shellcheck disable=SC2016  # mmdebstrap puts the folder in the place of $1
mmdebstrap --quiet "$@" --customize-hook='chroot "$1" update-ca-certificates' trixie "$work/debian.tar" \
    "deb ${DEBIAN_MIRROR:-http://deb.debian.org/debian} trixie main"
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/debian.tar" / >/dev/null
buildah commit --quiet --rm "$container" localhost/debian:trixie >/dev/null
container=

say "The image"
BASE=localhost/debian:trixie infra/image/build.sh localhost/pipeline:try
buildah images localhost/pipeline:try

container=$(buildah from localhost/pipeline:try)
in_image() { buildah run "$container" -- "$@"; }

say "Who runs in it, and what may be written"
in_image sh -euc 'id; ! touch /app/pipeline/new 2>/dev/null; for folder in /app /minio /s3 /gcs "$HOME"; do touch "$folder/new"; done'

say "The command line, doctor, the schema in the image, the tasks' entrypoint"
in_image python -m pipeline --help >/dev/null
in_image python -m pipeline doctor
in_image sh -euc 'python -m pipeline.kubeflow.entrypoint 2>&1 | grep "arguments are required: --executor_class_path"'

say "The whole pipeline, from a small plant's data to a pushed version"
in_image sh -euc 'python -m pipeline demo --machines 20 && python -m pipeline run'

say "A source package for Beam's workers"
in_image sh -euc 'python setup.py -q sdist --dist-dir /tmp/sent && ls /tmp/sent'

say "What a task imports, in seconds of processor time: with the image's bytecode, and without"
cat >"$work/import.py" <<'PYTHON'
import resource

import components.point_in_time_join.executor
import pipeline.kubeflow.container.task
from tfx.components import Trainer, Transform

used = resource.getrusage(resource.RUSAGE_SELF)
print(f"{used.ru_utime + used.ru_stime:.1f}")
PYTHON
for bytecode in "" /nonexistent; do
    in_image env PYTHONPYCACHEPREFIX="$bytecode" python -W ignore -c "$(cat "$work/import.py")" 2>/dev/null
done
