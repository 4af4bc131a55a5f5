#!/bin/sh
# life: a package's life on a bare Debian: installed, used, upgraded, removed, purged. Runs in a chroot of
# scripts/chroot --fresh, as root. Packages that these depend on come from the network; everything after that
# happens in a network namespace of its own.
#
# usage: tests/install/life.sh DIR     DIR is what scripts/package made
set -eu

debs=$(realpath "$1")
arch=$(dpkg --print-architecture)
version=$(dpkg-deb -f "$(ls "$debs"/node/p2pvpn_*"_$arch.deb")" Version)
out=$(mktemp -d)

fail() {
    echo "life: $1" >&2
    tail -n 20 "$out"/* /var/lib/p2pvpn/p2pvpnd.log >&2 2>/dev/null || true
    exit 1
}

ok() {
    echo "life: $1"
}

# until_true SECONDS COMMAND...
until_true() {
    left=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || fail "did not come true: $*"
        sleep 0.05
    done
}

nobody_runs() {
    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null) in
        *p2pvpn*) [ ! "${exe%/exe}/root" -ef / ] || return 1 ;;
        esac
    done
}

# The processes called p2pvpnd that live, the first of them first.
pids() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed -n 's/^\([0-9]*\) (p2pvpnd) [^Z] .*/\1/p' | sort -n
}

start_coordinator() {
    setsid p2pvpn-coordinator --public 198.51.100.7 </dev/null >"$out/coordinator" 2>&1 &
    until_true 10 grep -q "listening on" "$out/coordinator"
}

# kill_as_said USER: the process of that service that apt-get has just named.
kill_as_said() {
    pid=$(sed -n "s/^setup: process \([0-9]*\) of user $1 runs .*: end it (kill .*/\1/p" "$out/apt")
    kill "$pid" || fail "apt-get does not say which process of user $1 is to be ended"
    until_true 10 test ! -e "/proc/$pid/exe"
}

install_debs() {
    apt-get install -y -q --no-install-recommends "$@" >"$out/apt" 2>&1 || fail "apt-get install $*"
}

# The name and keys that a node is known by, as p2pvpnctl tells it.
identity() {
    p2pvpnctl ip && p2pvpnctl ip --wg-key
}

if [ -z "${LIFE_INSIDE:-}" ]; then
    apt-get update -q >"$out/apt" 2>&1 || fail "apt-get update"
    install_debs $(for deb in "$debs"/node/*"_$arch.deb" "$debs"/coordinator/*"_$arch.deb" \
        "$debs"/coordinator-postgres/*"_$arch.deb"; do
        dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/ *(.*//;s/^ *//;/^p2pvpn/d'
    done)
    rm -rf "$out"
    exec env LIFE_INSIDE=1 unshare -n sh "$0" "$@"
fi
ip link set lo up
ip addr add 198.51.100.7/32 dev lo

# ---- install ----
grep '^hosts' /etc/nsswitch.conf >"$out/hosts" 2>/dev/null || echo none >"$out/hosts"
install_debs "$debs"/node/*.deb "$debs"/coordinator/*.deb
nobody_runs || fail "installing has started something"
getent group p2pvpn >/dev/null || fail "no group p2pvpn"
getent passwd p2pvpn-coordinator >/dev/null || fail "no user p2pvpn-coordinator"
grep -q '^hosts: .*files p2pvpn \[TRYAGAIN=return\]' /etc/nsswitch.conf || fail "names are not in nsswitch.conf"
for file in /usr/bin/p2pvpnctl /usr/lib/systemd/system/p2pvpnd.service /etc/ssh/ssh_config.d/p2pvpn.conf \
    /usr/lib/systemd/user/p2pvpnd.service /usr/lib/systemd/user/p2pvpn-serve@.service /usr/share/man/man1/p2pvpnctl.1.gz \
    /usr/share/man/man5/p2pvpnd.conf.5.gz /usr/share/man/man5/coordinator.conf.5.gz \
    /usr/share/bash-completion/completions/p2pvpnctl /usr/share/zsh/vendor-completions/_p2pvpnctl; do
    [ -e "$file" ] || fail "$file is missing"
done
[ -d /etc/p2pvpn ] || fail "there is no directory for settings"
# Of a clone packages are later than the release, or apt would not install what was packed anew.
[ "$(p2pvpnd --version | head -n 1)" = "p2pvpnd ${version%-*}" ] || fail "p2pvpnd is not of version $version"
case $version in
*+20*) dpkg --compare-versions "$version" gt "${version%%+*}-9" || fail "$version is not later than the release" ;;
*) [ ! -e /src/.git ] || fail "the version $version does not say when the commit was made" ;;
esac
[ -z "$(ls -d /etc/systemd/system/*.wants/p2pvpn* 2>/dev/null)" ] || fail "a unit is enabled"
ok "installed; nothing was started"

# ---- PostgreSQL ----
! ldd /usr/sbin/p2pvpn-coordinator | grep -E 'libpq|krb5|ldap|sasl|gnutls' >"$out/ldd" ||
    fail "the coordinator without a database needs $(cat "$out/ldd")"
printf '[store]\npostgres = host=/nowhere dbname=p2pvpn\n' >"$out/conf"
if p2pvpn-coordinator --check --config "$out/conf" >"$out/check" 2>&1; then fail "there is a PostgreSQL store"; fi
grep -q '/usr/lib/p2pvpn-coordinator/modules/store-postgres.so is not installed: `sudo apt install p2pvpn-coordinator-postgres`' \
    "$out/check" || fail "the coordinator does not say which package is missing"
install_debs "$debs"/coordinator-postgres/*.deb
p2pvpn-coordinator --check --config "$out/conf" >"$out/check" 2>&1 || fail "the PostgreSQL store is not loaded"
ok "the PostgreSQL store is a package of its own"

# ---- use ----
start_coordinator
useradd --create-home me
p2pvpnctl create "$(p2pvpn-coordinator url --public 198.51.100.7)" --name lap --network home \
    >"$out/token" 2>"$out/create" || fail "create"
if su me -c 'p2pvpnctl peers' >"$out/peers" 2>&1; then fail "a stranger may use the socket"; fi
grep -q 'sudo usermod -aG p2pvpn "$USER"' "$out/peers" || fail "the error does not say what to type"
usermod -aG p2pvpn me
su me -c 'p2pvpnctl peers' >"$out/peers" 2>&1 || fail "a member of the group may not use the socket"
if su me -c 'p2pvpnctl down' >"$out/down" 2>&1; then fail "a member of the group may change the node"; fi
until_true 10 sh -c "getent hosts lap | grep -q lap.home.p2p"
until_true 10 p2pvpnctl inbox
# There is no p2pvpnd.conf, and nothing needs one.
if p2pvpnctl status | grep '^problem:' >"$out/problems"; then fail "a new node has a problem"; fi
ok "used, by root and by a member of the group"

# ---- upgrade ----
newer=$(mktemp -d)
for package in p2pvpn p2pvpn-chat p2pvpn-coordinator p2pvpn-coordinator-postgres; do
    dpkg-deb -R "$(ls "$debs"/*/"${package}_${version}_$arch.deb")" "$newer/$package"
    sed -i "s/^Version: .*/&+later/;s/p2pvpn\(-coordinator\)* (= [^)]*/&+later/" "$newer/$package/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$newer/$package" "$newer/$package.deb" >/dev/null
done
before=$(identity)
first=$(pids | head -n 1)
# Every 20 ms: does the node answer? The longest silence is what the upgrade takes from its users.
(
    longest=0
    last=$(date +%s%3N)
    while [ ! -e "$out/enough" ]; do
        if p2pvpnctl -t 0.5 version >/dev/null 2>&1; then
            now=$(date +%s%3N)
            [ $((now - last)) -le $longest ] || longest=$((now - last))
            last=$now
        fi
        echo $longest >"$out/longest"
        sleep 0.02
    done
) &
watcher=$!
install_debs "$newer"/*.deb
# No systemd has started them.
[ "$first" = "$(pids | head -n 1)" ] || fail "the upgrade has restarted what root started by hand"
kill_as_said p2pvpn-coordinator
start_coordinator
kill_as_said p2pvpn
p2pvpnctl up >"$out/up" 2>&1 || fail "up"
until_true 10 p2pvpnctl ip
sleep 1
touch "$out/enough"
wait $watcher
[ "$first" != "$(pids | head -n 1)" ] || fail "the old p2pvpnd still runs"
[ "$(identity)" = "$before" ] || fail "the upgrade has changed the node"
until_true 20 sh -c 'p2pvpnctl status | grep -q "coordinator"'
p2pvpn-coordinator status >"$out/status" 2>&1 || fail "the coordinator does not run after the upgrade"
[ "$(cat "$out/longest")" -lt "${LIFE_MS:-1000}" ] || fail "the upgrade took $(cat "$out/longest") ms"
ok "upgraded; the longest silence was $(cat "$out/longest") ms"

# ---- remove, purge ----
# Of a further network, too, as `p2pvpnctl -n work join` makes it where systemd runs.
mkdir -p /var/lib/p2pvpn-work /etc/systemd/system/multi-user.target.wants
echo '# work' >/etc/p2pvpn/work.conf
ln -s /usr/lib/systemd/system/p2pvpnd@.service /etc/systemd/system/multi-user.target.wants/p2pvpnd@work.service
# Accounts that members log in to, as `ssh enable` opens them, and somebody's own file.
logins=/etc/ssh/sshd_config.d
mkdir -p "$logins"
echo '# Made by `p2pvpnctl ssh enable`, as by hand.' | tee "$logins/p2pvpn-logins.conf" >"$logins/p2pvpn-logins-work.conf"
echo '# mine' >"$logins/p2pvpn-logins-mine.conf"
for name in p2pvpn p2pvpn-coordinator; do
    if apt-get remove -y -q $name >"$out/apt" 2>&1; then fail "apt-get remove of $name leaves it running"; fi
    kill_as_said $name
    apt-get remove -y -q $name >"$out/apt" 2>&1 || fail "apt-get remove $name"
done
nobody_runs || fail "something runs after removing"
[ -L /etc/systemd/system/multi-user.target.wants/p2pvpnd@work.service ] ||
    fail "a package that comes back does not find its unit enabled"
[ -s /var/lib/p2pvpn/identity.key ] && [ -s /var/lib/p2pvpn-coordinator/coordinator.key ] || fail "state is gone"
grep '^hosts' /etc/nsswitch.conf 2>/dev/null | tr -s ' ' >"$out/after" || echo none >"$out/after"
[ "$(tr -s ' ' <"$out/hosts")" = "$(cat "$out/after")" ] || fail "the line in nsswitch.conf is not as before"
[ "$(ls "$logins")" = p2pvpn-logins-mine.conf ] || fail "removing leaves accounts open: $(ls "$logins")"
rm "$logins/p2pvpn-logins-mine.conf"
ok "removed; state stays"
apt-get purge -y -q p2pvpn p2pvpn-chat p2pvpn-coordinator p2pvpn-coordinator-postgres >"$out/apt" 2>&1 || fail "apt-get purge"
left=$(find / -xdev \( -path /proc -o -path /src -o -path /tmp -o -path /var/log \) -prune -o -name '*p2pvpn*' -print)
for key in $left; do
    case $key in
    /var/backups/p2pvpn-root.key.* | /var/backups/p2pvpn-coordinator.key.*) ;;
    *) fail "purging has left $key" ;;
    esac
    [ -s "$key" ] && [ "$(stat -c %U:%a "$key")" = root:600 ] && grep -q "$key" "$out/apt" || fail "$key is not told"
done
[ "$(echo "$left" | wc -l)" = 2 ] || fail "purging has not kept the two keys but $left"
getent passwd p2pvpn >/dev/null && fail "purging has left the account"
ok "purged; the root key and the coordinator's are kept"
