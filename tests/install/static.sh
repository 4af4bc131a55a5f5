#!/bin/sh
# static: the static programs start on every Debian from 10 on that the mirror has, on a machine that has busybox and
# nothing else, and, those for arm64, under qemu; two of them meet in the lab. As root.
#
# usage: tests/install/static.sh [SUITE...]      default: buster bullseye bookworm trixie
set -eu
cd "$(dirname "$0")/../.."

fail() {
    echo "static: $1" >&2
    exit 1
}

# starts ROOT COMMAND...: COMMAND runs the program in that root, by the name that follows.
starts() {
    where=$1
    shift
    for name in p2pvpnd p2pvpnctl p2pvpn-coordinator; do
        said=$("$@" $name --version) || fail "$name does not start: $where"
        case $said in "$name "[0-9]*) ;; *) fail "$name says '$said': $where" ;; esac
    done
    "$@" p2pvpnd --check || fail "p2pvpnd --check fails: $where"
    ! "$@" p2pvpnctl status >/dev/null 2>&1 || fail "p2pvpnctl finds a p2pvpnd: $where"
    echo "static: starts: $where"
}

[ "$(id -u)" = 0 ] || fail "it makes and enters chroots, so it must run as root"
[ $# -gt 0 ] || set -- buster bullseye bookworm trixie
arch=$(dpkg --print-architecture)
scripts/package static
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/bin" "$root/etc" "$root/programs"
cp "build/packages/static/p2pvpn-$arch" "$root/programs/p2pvpnctl"
cp "build/packages/static/p2pvpn-coordinator-$arch" "$root/programs/p2pvpn-coordinator"
ln -s p2pvpnctl "$root/programs/p2pvpnd"
printf '[store]\npostgres = dbname=p2pvpn\n' >"$root/conf"
! "$root/programs/p2pvpn-coordinator" --check --config "$root/conf" >"$root/said" 2>&1 &&
    grep -q 'static and cannot load .*`sudo apt install p2pvpn-coordinator-postgres`' "$root/said" ||
    fail "p2pvpn-coordinator says '$(cat "$root/said")' of a database"

for suite in "$@"; do
    # Debian moves old suites to an archive, which is another machine.
    if ! scripts/chroot --fresh "$suite" true >/dev/null 2>&1; then
        echo "static: the mirror has no $suite: not tried"
        continue
    fi
    mkdir -p build/static-programs
    cp -a "$root/programs/." build/static-programs/
    starts "Debian $suite" scripts/chroot --fresh "$suite" env PATH=/src/build/static-programs:/bin:/usr/bin
    rm -r build/static-programs
done

if command -v busybox >/dev/null; then
    cp "$(command -v busybox)" "$root/bin/busybox"
    # The modules that these name are not there, and must not be asked for.
    printf '%s: files systemd resolve\n' passwd group hosts >"$root/etc/nsswitch.conf"
    starts "busybox and nothing else" chroot "$root" /bin/busybox env PATH=/programs
else
    echo "static: no busybox here (scripts/deps long): not tried without a distribution"
fi

if [ "$arch" = amd64 ]; then
    scripts/package static bookworm-arm64
    cat >build/chroot-bookworm-arm64/run <<'EOF'
case $1 in p2pvpn-coordinator) file=$1 ;; *) file=p2pvpn ;; esac
name=$1
shift
exec qemu-aarch64-static -0 "$name" "build/packages/static/$file-arm64" "$@"
EOF
    starts "arm64, by qemu" scripts/chroot bookworm-arm64 sh build/run
fi
scripts/lab join.one_static_file_is_both_programs
echo "static: ok"
