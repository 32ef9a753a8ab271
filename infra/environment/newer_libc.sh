#!/bin/sh
# Prints a Python that can load TFX 1.21: the machine's own where its C library is new enough, else a copy of it that brings
# Debian 13's C and C++ libraries along. For running the tests of that stack on an older Debian.
#
#   newer_libc.sh 3.11
#
# The libraries are unpacked into .tools/libc, not installed; the Python beside them is a copy of the machine's own whose loader and
# library path point at them. Both stay until `make clean-all`. Nothing else on the machine is touched.
set -eu
cd "$(dirname "$0")/../.."
version=${1:?usage: newer_libc.sh 3.11|3.12|3.13}
libc=$PWD/.tools/libc
home=$PWD/.tools/python-$version-newer-libc
python=$home/bin/python$version
. infra/environment/find.sh
. infra/environment/debian13.sh

works() { "$python" -c 'import ssl, sqlite3' >/dev/null 2>&1; }

if [ -x "$python" ] && works; then
    echo "$python"
    exit 0
fi

any=$(find_any_python)
base=$(find_python "$version") || { get_uv "$any" && base=$(fetch_python "$version"); } || {
    say "No Python $version was found on the PATH, in pyenv or in uv, and none could be fetched: pyenv install $version"
    exit 1
}
if [ -z "$("$base" -I pipeline/stacks.py lacks 1.21)" ]; then
    echo "$base"
    exit 0
fi

unpack_debian13 "$libc" libc6 libstdc++6 libgcc-s1 || {
    say "Elsewhere, run TFX 1.21 in a container of Debian 13."
    exit 1
}
libraries=$libc/usr/lib/x86_64-linux-gnu

# The copy finds its standard library beside itself, whatever prefix its original was built for.
say "Making a Python $version on them from $base …"
rm -rf "$home"
mkdir -p "$home/bin"
eval "$("$base" -c '
import os, sys
print(f"original={os.path.realpath(sys.executable)!r} prefix={sys.base_prefix!r}")')"
ln -s "$prefix/lib" "$home/lib"
ln -s "$prefix/include" "$home/include"
cp "$original" "$python"
get_maintenance "$any"
# The C++ library is named as needed by Python itself, so that it is loaded before any module could bring the machine's own.
.tools/maintenance/bin/patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" \
    --force-rpath --set-rpath "$libraries:$prefix/lib" --add-needed libstdc++.so.6 --add-needed libgcc_s.so.1 "$python"
works || { say "$python does not start"; exit 1; }
echo "$python"
