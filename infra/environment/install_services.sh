#!/bin/sh
# Installs the servers, checkers and browser that `make test-services` starts for itself; none is left running as a system service.
set -eu
cd "$(dirname "$0")/../.."
. infra/environment/find.sh
. infra/environment/debian13.sh
# Debian 12 has nothing that builds kustomize overlays (its kubectl is too old), Debian 13 has.
command -v kustomize >/dev/null 2>&1 || unpack_debian13 "$PWD/.tools/kustomize" kustomize || {
    say "Install kustomize 4 or newer, then call make test-services again."
    exit 1
}
missing=
[ -x /usr/sbin/mariadbd ] || command -v mariadbd >/dev/null 2>&1 || missing="$missing mariadb-server"
[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null 2>&1 || missing="$missing nginx"
[ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
for program in alertmanager pushgateway node-exporter; do
    command -v "prometheus-$program" >/dev/null 2>&1 || missing="$missing prometheus-$program"
done
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v influxd >/dev/null 2>&1 || missing="$missing influxdb"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null 2>&1 || {
    say "Install what these Debian packages hold with this system's package manager, then call make test-services again:$missing"
    exit 1
}
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# policy-rc.d keeps the packages from starting servers that the tests do not use.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
    made_policy=yes
fi
trap '[ -z "$made_policy" ] || $as_root rm -f "$policy"' EXIT
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
