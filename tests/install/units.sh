#!/bin/sh
# units: the units as a systemd of its own runs them, and how much they are left (systemd-analyze security).
# As root; everything happens in namespaces of its own.
#
# usage: tests/install/units.sh BUILD      BUILD has bin/ and systemd/ of a build for /usr/local
set -eu

state=/var/lib/p2pvpn
fail() {
    echo "units: $1" >&2
    [ "${UNITS_INSIDE:-}" != check ] || systemctl status --no-pager 'p2pvpn*' >&2 || true
    exit 1
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

# has FILE PATTERN: the file's text is shown when it has no such line.
has() {
    grep -q -- "$2" "$1" || {
        cat "$1" >&2
        fail "nothing like '$2'"
    }
}

as_carol() {
    setpriv --reuid=1971 --regid=1971 --clear-groups env HOME=/home/carol XDG_RUNTIME_DIR=/run/user/1971 "$@"
}

# serves ADDRESS: carol's node has it, and leads port 8080 out.
serves() {
    [ "$(as_carol p2pvpnctl ip)" = "$1" ] && as_carol p2pvpnctl serve | grep -q '^tcp/8080 *127[.]0[.]0[.]1:3000 '
}

[ -n "${UNITS_INSIDE:-}" ] || grep -q '^ExecStart=/usr/local/' "$1/systemd/p2pvpnd.service" ||
    fail "$1 is no build for /usr/local (that of scripts/package is for /usr): take that of a preset, such as build/dev"

# 20 is the score 2.0.
for unit in p2pvpnd p2pvpnd@ p2pvpn-coordinator; do
    file=${1:-/run/built}/systemd/$unit.service
    [ -n "${UNITS_INSIDE:-}" ] || exposed=$(
        systemd-analyze security --offline=true --threshold=20 --no-pager "$file" 2>&1
    ) || {
        echo "$exposed" >&2
        fail "$unit is left too much"
    }
done

case ${UNITS_INSIDE:-} in
'')
    build=$(realpath "$1")
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
    UNITS_INSIDE=start UNITS_BUILD=$build UNITS_OUT=$out timeout -s KILL 180 \
        unshare -fpmnuiC --kill-child sh "$0" >"$out/systemd" 2>&1 || true
    cat "$out/result" 2>/dev/null || true
    grep -qx 'units: ok' "$out/result" 2>/dev/null || {
        tail -n 60 "$out/systemd" "$out/log" >&2
        exit 1
    }
    ;;
start)
    mount --make-rprivate /
    mount -t proc proc /proc
    mount -t tmpfs tmpfs /run
    mkdir -p /run/built /run/out /run/units /run/rw
    mount --bind "$UNITS_BUILD" /run/built
    mount --bind "$UNITS_OUT" /run/out
    cp "$0" /run/units.sh
    cp "${0%/*}/../../dist/setup" "${0%/*}/../../dist/examples"/notify-* /run/
    cp -a /etc /run/rw/etc
    # Nothing of this machine can change: what is written goes into memory.
    mount --bind /run/rw/etc /etc
    for dir in /tmp /var /usr/local /home /root; do
        mount -t tmpfs -o mode=755 tmpfs "$dir"
    done
    mkdir -p /var/lib /var/log /var/tmp /usr/local/sbin /usr/local/bin
    mount -t tmpfs -o mode=755 tmpfs /dev/net
    # As udev makes it.
    mknod -m 666 /dev/net/tun c 10 200
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -o remount,bind,ro /run/built
    mount -o remount,bind,ro /
    ! touch /units-was-here 2>/dev/null || exit 1
    cp /run/built/bin/p2pvpn* /usr/local/sbin/
    mv /usr/local/sbin/p2pvpnctl /usr/local/bin/
    sed -i '/^p2pvpn/d' /etc/passwd /etc/group
    echo 'p2pvpn:x:987:987::/var/lib/p2pvpn:/usr/sbin/nologin' >>/etc/passwd
    echo 'p2pvpn-coordinator:x:986:986::/var/lib/p2pvpn:/usr/sbin/nologin' >>/etc/passwd
    printf 'p2pvpn:x:987:\np2pvpn-coordinator:x:986:\n' >>/etc/group
    rm -rf /etc/p2pvpn
    mkdir /etc/p2pvpn
    printf '[coordinator]\npublic = 198.51.100.7\n' >/etc/p2pvpn/coordinator.conf
    printf '[log]\nlevel = info\n' >/etc/p2pvpn/p2pvpnd.conf
    # Root's alone; both services read what setup makes of them.
    chmod 600 /etc/p2pvpn/*
    sh /run/setup node
    sh /run/setup coordinator
    [ "$(stat -c %U:%G:%a /etc/p2pvpn/p2pvpnd.conf)" = root:p2pvpn:640 ] || exit 1
    # Only our units: those of this machine would tidy up, mount and start things.
    cp /run/built/systemd/*.service /run/units/
    for name in sysinit.target basic.target shutdown.target network.target network-online.target exit.target; do
        printf '[Unit]\nDefaultDependencies=no\n' >"/run/units/$name"
    done
    cp /lib/systemd/system/systemd-exit.service /run/units/
    # The manager that logind starts for a user who is there, or lingers.
    mkdir /run/user-units
    cp /run/built/systemd/user/*.service /run/user-units/
    for name in basic.target default.target; do
        printf '[Unit]\nDefaultDependencies=no\n' >"/run/user-units/$name"
    done
    for name in systemd-exit.service exit.target shutdown.target; do
        cp /lib/systemd/user/$name /run/user-units/
    done
    echo 'carol:x:1971:1971::/home/carol:/bin/sh' >>/etc/passwd
    echo 'carol:x:1971:' >>/etc/group
    install -d -m 755 /run/user
    install -d -o 1971 -g 1971 -m 700 /home/carol /run/user/1971
    cat >/run/units/carol.service <<EOF
[Unit]
DefaultDependencies=no
[Service]
Type=notify
User=carol
Delegate=yes
ExecStart=/lib/systemd/systemd --user --log-target=console
Environment=XDG_RUNTIME_DIR=/run/user/1971 container=test
Environment=SYSTEMD_UNIT_PATH=/home/carol/.config/systemd/user:/run/user-units
KillMode=mixed
EOF
    mkdir /run/units/service.d
    # The leak checker of a build with sanitizers needs what the units forbid.
    cat >/run/units/service.d/log.conf <<EOF
[Service]
StandardOutput=append:/run/out/log
StandardError=append:/run/out/log
Environment=ASAN_OPTIONS=detect_leaks=0
EOF
    # The journal gets what p2pvpnd@work says. It opens its own sockets.
    mkdir /run/units/p2pvpnd@work.service.d
    printf '[Service]\nStandardOutput=journal\nStandardError=journal\n' >/run/units/p2pvpnd@work.service.d/to-journal.conf
    cat >/run/units/journal.service <<EOF
[Unit]
DefaultDependencies=no
[Service]
Type=notify
ExecStart=/lib/systemd/systemd-journald
EOF
    cat >/run/units/check.service <<EOF
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
Environment=UNITS_INSIDE=check
ExecStart=-/bin/sh /run/units.sh
ExecStopPost=/bin/systemctl --force exit 0
EOF
    exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=/run/units \
        /lib/systemd/systemd --system --unit=check.service --log-target=console --show-status=no
    ;;
check)
    PATH=/usr/local/sbin:/usr/local/bin:$PATH
    systemctl start journal.service
    ip link set lo up
    ip addr add 198.51.100.7/32 dev lo
    systemctl start --no-block p2pvpn-coordinator.service
    until_true 20 test -s /var/lib/p2pvpn-coordinator/coordinator.key
    # A name, which a task of the helper has to resolve in the unit's box.
    echo '198.51.100.7 coordinator.test' >>/etc/hosts
    url=$(p2pvpn-coordinator url --public coordinator.test)
    # A state directory that a daemon of root's made.
    mkdir -p -m 700 $state
    : >$state/lock
    systemctl start --no-block p2pvpnd.service
    until_true 20 systemctl is-active p2pvpnd.service
    until_true 20 systemctl is-active p2pvpn-coordinator.service
    p2pvpnctl create "$url" --name lap --network home --no-boot >/run/out/token 2>/run/out/create || {
        cat /run/out/create
        fail create
    }
    p2pvpnctl status --json >/run/out/status
    has /run/out/status 'user p2pvpn (987), no capabilities'
    has /run/out/status 'helper: user 987, CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE'
    # Of the kernel's switches the helper can reach those of the network.
    helper=$(pgrep -P "$(systemctl show -P MainPID p2pvpnd.service)" -x p2pvpnd-helper)
    nsenter -t "$helper" -m test -w /proc/sys/net/ipv4/ip_forward || fail "the helper cannot switch forwarding on"
    ! nsenter -t "$helper" -m test -w /proc/sys/kernel/core_pattern || fail "the helper reaches other switches"
    # nft and its netlink sockets in the unit's box.
    p2pvpnctl route offer 10.99.0.0/24
    until_true 10 sh -c 'nft list table inet p2pvpn-p2pvpn0 | grep -q "10.99.0.0/24 masquerade"'
    until_true 10 sh -c '[ "$(cat /proc/sys/net/ipv4/conf/p2pvpn0/forwarding)" = 1 ]'
    p2pvpnctl route withdraw 10.99.0.0/24
    until_true 10 sh -c '[ "$(cat /proc/sys/net/ipv4/conf/p2pvpn0/forwarding)" = 0 ]'
    until_true 10 sh -c '! nft list table inet p2pvpn-p2pvpn0 | grep -q "10.99.0.0/24"'
    ip addr show p2pvpn0 >/run/out/addr
    has /run/out/addr 'inet 10'
    until_true 5 test -s /run/p2pvpn/p2pvpnd.names
    [ "$(stat -c %u /run/p2pvpn/p2pvpnd.names)" = 987 ] || fail "the names are not the service's"
    [ "$(stat -c %u $state/lock)" = 987 ] || fail "the state is not handed over"
    p2pvpn-coordinator status --json >/run/out/coordinator
    has /run/out/coordinator '"udp_received": *[1-9]'
    # A typo is named and changes nothing; what is right is taken over, by the same process.
    pid=$(systemctl show -P MainPID p2pvpnd.service)
    printf '[interface]\nmtu = 1300\nprot = 1\n' >/etc/p2pvpn/p2pvpnd.conf
    ! systemctl reload p2pvpnd.service || fail "a reload with a mistake is none that failed"
    has /run/out/log 'nothing is changed.*p2pvpnd.conf:3'
    systemctl is-active p2pvpnd.service || fail "a mistake in the settings ends it"
    ip link show p2pvpn0 >/run/out/link
    has /run/out/link 'mtu 1420 '
    printf '[interface]\nmtu = 1300\nport = 4242\n' >/etc/p2pvpn/p2pvpnd.conf
    systemctl reload p2pvpnd.service
    has /run/out/log 'restart p2pvpnd for some changes.*port'
    until_true 5 sh -c 'ip link show p2pvpn0 | grep -q "mtu 1300 "'
    until_true 5 p2pvpnctl ip
    [ "$(systemctl show -P MainPID p2pvpnd.service)" = "$pid" ] || fail "a reload is another process"
    # A client that asks for it hears what came of it.
    printf '[interface]\nmtu = 1310\n[log]\nlevel = loud\n' >/etc/p2pvpn/p2pvpnd.conf
    if p2pvpnctl reload >/run/out/reload 2>&1; then fail "a reload took a mistake"; fi
    has /run/out/reload 'nothing is changed: .*p2pvpnd.conf:4: '
    printf '[interface]\nmtu = 1310\nport = 4243\n' >/etc/p2pvpn/p2pvpnd.conf
    p2pvpnctl reload >/run/out/reload
    has /run/out/reload 'changed: \[interface\] mtu'
    has /run/out/reload 'restart of p2pvpnd: \[interface\] port'
    until_true 5 sh -c 'ip link show p2pvpn0 | grep -q "mtu 1310 "'
    until_true 5 p2pvpnctl ip
    # One that root starts by hand leaves a service's directory alone, and names who is there.
    for socket in p2pvpnd other; do
        ! p2pvpnd --state /tmp/byhand --tun byhand --socket /run/p2pvpn/$socket.sock >/run/out/byhand 2>&1 ||
            fail "a second daemon takes the service's directory"
        has /run/out/byhand 'listens on /run/p2pvpn/p2pvpnd.sock: '
        [ "$(stat -c %U /run/p2pvpn)" = p2pvpn ] || fail "the service has lost its directory"
    done
    # The coordinator's.
    printf '[coordinator]\npublic = 198.51.100.7\nlisten = 0.0.0.0:3479\n[limits]\nmembers = 9\n' \
        >/etc/p2pvpn/coordinator.conf
    systemctl reload p2pvpn-coordinator.service || fail "the coordinator is not reloaded"
    has /run/out/log 'settings read again.*members'
    has /run/out/log 'restart the coordinator for some changes.*listen'
    printf '[limits]\nmembres = 9\n' >>/etc/p2pvpn/coordinator.conf
    ! systemctl reload p2pvpn-coordinator.service || fail "its reload with a mistake is none that failed"
    has /run/out/log 'nothing is changed: .*coordinator.conf:7: '
    # By a signal, which waits for nobody, the service is as good afterwards.
    systemctl kill -s HUP p2pvpnd.service p2pvpn-coordinator.service
    until_true 5 p2pvpnctl ip
    for unit in p2pvpnd p2pvpn-coordinator; do
        until_true 5 sh -c "[ \"\$(systemctl show -P ActiveState $unit.service)\" = active ]"
    done
    # Back after its death, with the same address, and it ends when it is told to.
    before=$(p2pvpnctl ip)
    systemctl kill -s KILL p2pvpnd.service
    until_true 20 p2pvpnctl ip
    [ "$(p2pvpnctl ip)" = "$before" ] || fail "another address after a restart"
    systemctl stop p2pvpnd.service
    p2pvpnctl up 2>/run/out/up
    systemctl is-active p2pvpnd.service || fail "up does not start the service"
    until_true 5 p2pvpnctl ip
    # A second network has a unit of its own, which its name starts.
    p2pvpnctl -n work create "$url" --name lap --cidr 10.77.0.0/16 >/run/out/token 2>/run/out/create || {
        cat /run/out/create
        fail "create of a second network"
    }
    has /run/out/create 'p2pvpnd starts at boot from now on. To change that: `systemctl disable p2pvpnd@work.service`'
    [ -L /etc/systemd/system/multi-user.target.wants/p2pvpnd@work.service ] || fail "create does not enable its unit"
    [ ! -e /etc/systemd/system/multi-user.target.wants/p2pvpnd.service ] || fail "--no-boot enables its unit"
    systemctl is-active p2pvpnd@work.service || fail "p2pvpnd@work.service does not run"
    p2pvpnctl networks >/run/out/networks
    has /run/out/networks '^work *work *lap *10[.]77.* p2p-work .* up'
    p2pvpnctl -n work leave --forget
    systemctl stop p2pvpnd@work.service
    printf '[log]\nlevel = debug\n[peer pi]\npublic-key = %s\nendpoint = 198.51.100.9:9\nallowed-ips = 192.0.2.9/32\n' \
        "$(head -c 32 /dev/urandom | base64)" >/etc/p2pvpn/work.conf
    chmod 600 /etc/p2pvpn/work.conf
    ! systemctl start p2pvpnd@work.service || fail "settings that user p2pvpn may not read are ignored"
    until_true 5 sh -c 'journalctl -u p2pvpnd@work.service | grep -q "work.conf: .*: chgrp p2pvpn it, and chmod 640"'
    chgrp p2pvpn /etc/p2pvpn/work.conf
    chmod 640 /etc/p2pvpn/work.conf
    systemctl reset-failed p2pvpnd@work.service
    systemctl start p2pvpnd@work.service || fail "p2pvpnd@work does not start"
    # Lines about a peer are found by it, with their priority, as the unit's.
    ping -c1 -W1 192.0.2.9 >/dev/null 2>&1 || true
    until_true 10 sh -c 'journalctl -o json PEER=pi | grep -q .'
    journalctl -o json PEER=pi >/run/out/journal
    has /run/out/journal '"PRIORITY":"7"'
    has /run/out/journal '"SYSLOG_IDENTIFIER":"p2pvpnd"'
    has /run/out/journal '"_SYSTEMD_UNIT":"p2pvpnd@work.service"'
    journalctl -o json -p info -u p2pvpnd@work.service >/run/out/journal
    has /run/out/journal '"PRIORITY":"6".*interface up\|interface up.*"PRIORITY":"6"'
    # A node of one user alone, under a systemd of that user's: back after its death and after a boot, as what it serves.
    token=$(p2pvpnctl invite)
    systemctl start carol.service || fail "there is no systemd for a user"
    as_carol systemctl --user enable --now p2pvpnd.service p2pvpn-serve@8080:3000.service ||
        fail "a user's p2pvpnd does not start"
    as_carol p2pvpnctl join "$token" --name carol 2>/run/out/join || {
        cat /run/out/join
        fail "join of a user's node"
    }
    addr=$(as_carol p2pvpnctl ip)
    until_true 30 serves "$addr"
    as_carol systemctl --user reload p2pvpnd.service || fail "a user's p2pvpnd is not reloaded"
    as_carol systemctl --user kill -s KILL p2pvpnd.service
    until_true 30 serves "$addr"
    systemctl restart carol.service
    until_true 30 serves "$addr"
    as_carol systemctl --user start p2pvpnd@work.service || fail "a user has no second network"
    as_carol p2pvpnctl networks >/run/out/networks
    has /run/out/networks '^work '
    # A message stands on the desktop of whoever owns the program, as the guide says, with no right left out in the unit.
    install -D -m 644 -t /run/units/p2pvpnd.service.d /run/notify-as-owner.conf
    install -o carol -m 755 /run/notify-desktop /usr/local/bin/p2pvpn-notify
    printf '#!/bin/sh\nprintf "%%s|" "$(id -un)" "$@" | nc -NU "${DBUS_SESSION_BUS_ADDRESS#unix:path=}"\n' \
        >/usr/local/bin/notify-send
    chmod 755 /usr/local/bin/notify-send
    as_carol nc -lU /run/user/1971/bus >/run/out/desktop &
    printf '[chat]\nnotify = /usr/local/bin/p2pvpn-notify\n' >/etc/p2pvpn/p2pvpnd.conf
    systemctl daemon-reload && systemctl restart p2pvpnd.service
    until_true 30 as_carol p2pvpnctl ping lap -c 1
    as_carol p2pvpnctl send lap '/me is <here>'
    until_true 20 grep -q . /run/out/desktop
    has /run/out/desktop '^carol|--app-name=p2pvpn|--|carol|\* is &lt;here&gt;|'
    p2pvpnctl status >/run/out/status
    ! grep notify /run/out/status || fail "a program of [chat] notify that runs is a problem"
    # One that others may change does not run, and is a problem that status names with its remedy.
    chmod 775 /usr/local/bin/p2pvpn-notify
    as_carol p2pvpnctl send lap again
    until_true 20 sh -c 'p2pvpnctl status | grep -q "notify.*: chmod go-w it"'
    # A program that is missing keeps the node out of no network, and the log names it.
    printf '[chat]\nnotify = /usr/local/bin/gone\n' >/etc/p2pvpn/p2pvpnd.conf
    systemctl stop p2pvpnd.service
    p2pvpnctl up || fail "no node without the program of [chat] notify"
    has /run/out/log 'nobody is notified of messages.*notify = /usr/local/bin/gone: no such file'
    # The reason why a p2pvpnd does not start is in the answer of up.
    systemctl stop p2pvpnd.service
    printf '[interface]\nprot = 1\n' >/etc/p2pvpn/p2pvpnd.conf
    if p2pvpnctl up >/run/out/up 2>&1; then fail "up with a mistake in the settings"; fi
    has /run/out/up 'p2pvpnd.conf:2: unknown key prot'
    rm /etc/p2pvpn/p2pvpnd.conf
    systemctl stop carol.service
    ! pgrep -u 1971 p2pvpn || fail "p2pvpnd is left when its user has gone"
    systemctl stop p2pvpnd.service p2pvpnd@work.service p2pvpn-coordinator.service
    ! ip link show p2pvpn0 2>/dev/null || fail "the interface stays"
    # An address that comes late: more starts fail than systemd allows a unit without StartLimitIntervalSec=0.
    printf '[coordinator]\npublic = 198.51.100.7\nlisten = 198.51.100.99:3478\n' >/etc/p2pvpn/coordinator.conf
    systemctl start --no-block p2pvpn-coordinator.service
    until_true 60 sh -c '[ "$(systemctl show -P NRestarts p2pvpn-coordinator.service)" -ge 6 ]'
    ip addr add 198.51.100.99/32 dev lo
    until_true 10 systemctl is-active p2pvpn-coordinator.service
    systemctl stop p2pvpn-coordinator.service
    echo "units: ok" >/run/out/result
    ;;
esac
