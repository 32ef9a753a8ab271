#!/bin/bash
# Asks the model server in this pod: `probe.sh ready` succeeds if the version that models.config names is AVAILABLE,
# `probe.sh alive` if the server answers at all. In bash, as TensorFlow Serving's image has neither curl nor wget.
#
# A plain HTTP probe would not do: /v1/models/<model> answers 200 in every state, loading and failed ones too, and only
# the body tells which.
set -u
config=$(sed 's/#.*//' "${2:-/etc/serving/models/models.config}") || exit 1
[[ $config =~ name:[[:space:]]*\"([^\"]+)\" ]] || { echo "models.config names no model"; exit 1; }
path=/v1/models/${BASH_REMATCH[1]}
if [[ $1 == ready ]]; then
    [[ $config =~ versions:[[:space:]]*([0-9]+) ]] || { echo "models.config names no version"; exit 1; }
    path+=/versions/${BASH_REMATCH[1]}
fi
exec 3<>"/dev/tcp/127.0.0.1/${3:-8501}" || exit 1
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$path" >&3
IFS= read -r -d '' -t 2 -u 3 answer
[[ $answer == 'HTTP/1.'?' 200 '* ]] || { echo "$path: ${answer%%$'\r'*}"; exit 1; }
[[ $1 == alive || $answer =~ \"state\":[[:space:]]*\"AVAILABLE\" ]] || { echo "$path is not AVAILABLE"; exit 1; }
