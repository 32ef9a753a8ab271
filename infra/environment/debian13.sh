# Sourced by the scripts beside it, after find.sh: takes packages from Debian 13 on an older Debian without installing them.

# unpack_debian13 FOLDER PACKAGE ...: unpacks the packages into the folder, once. apt works there in folders of its own, so neither
# root nor the machine's package lists come into it.
unpack_debian13() {
    into=$1
    shift
    [ ! -e "$into/.complete" ] || return 0
    archive_keys=/usr/share/keyrings/debian-archive-keyring.gpg
    if ! command -v apt-get >/dev/null 2>&1 || [ ! -e "$archive_keys" ]; then
        say "Taking $* from Debian 13 needs Debian's apt-get and $archive_keys."
        return 1
    fi
    say "Unpacking Debian 13's $* into $into …"
    rm -rf "$into"
    mkdir -p "$into/apt/lists/partial" "$into/apt/archives/partial"
    mirror=$(sed -nE 's/^URIs: *([^ ]*\/debian)\/? *$/\1/p; s/^deb (\[[^]]*\] )?([^ ]*\/debian)\/? .*$/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
    echo "deb [signed-by=$archive_keys] ${mirror:-http://deb.debian.org/debian} trixie main" >"$into/apt/sources.list"
    debian13_apt update || return 1
    (cd "$into/apt/archives" && debian13_apt download "$@") || return 1
    for package in "$into"/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$into" || return 1
    done
    rm -rf "$into/apt" "$into/usr/share"
    touch "$into/.complete"
}

debian13_apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$into/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$into/apt" -o Dir::State::lists="$into/apt/lists" \
        -o Dir::State::status=/dev/null -o Dir::Cache="$into/apt" -o APT::Sandbox::User= -o Acquire::Languages=none "$@" >&2
}
