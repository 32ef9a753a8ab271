#!/bin/sh
# Installs the servers that `make test-services` starts for itself; none is left running as a system service.
set -eu
if command -v mariadbd >/dev/null 2>&1 || [ -x /usr/sbin/mariadbd ]; then
    exit 0
fi
command -v apt-get >/dev/null 2>&1 || {
    echo "Install MariaDB's server (mariadbd) with this system's package manager, then call make test-services again." >&2
    exit 1
}
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# policy-rc.d keeps the package from starting the server that the tests do not use.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod +x "$policy"
    made_policy=yes
fi
trap '[ -z "$made_policy" ] || $as_root rm -f "$policy"' EXIT
$as_root apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mariadb-server >/dev/null
