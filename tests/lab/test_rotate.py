# SPDX-License-Identifier: MIT
"""Transport keys change while iperf3 and ssh run: nothing is lost and nothing breaks. After a crash,
a restored backup and with stock WireGuard beside it a node goes on as well."""
import json
import signal
import time

from lab import answered, check, equal, pause, pressure, scenario, ssh_login, wait
from test_static import Pair

LIFE = 135  # seconds: keys of a session are made anew after 120


def direct_pair(lab):
    coordinator = lab.coordinator()
    a, b = (lab.host(n, lab.lan(f"lan{n}", "profile=port-restricted", "delay=5ms")) for n in "ab")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    b.wait_direct(a)
    return coordinator, a, b


def key(host):
    return host.ctl("ip", "--wg-key").out.strip()


def agree(*hosts):
    """Everybody knows the key that everybody else uses."""
    for x in hosts:
        for y in hosts:
            if x is not y:
                wait(f"{x.name} to know the key of {y.name}",
                     lambda: (x.peer(y) or {}).get("wg_key") == key(y))


def rotate(host, *args):
    before = key(host)
    r = host.ctl("key", "rotate", *args)
    check("replaced the transport key" in r.err, f"what key rotate says: {r}")
    check(key(host) != before, "it has the same key")


@scenario(whole="two minutes of traffic")
def iperf3_loses_nothing_and_ssh_goes_on(lab):
    _, a, b = direct_pair(lab)
    address = a.addr(b)
    handshakes = a.peer(b)["last_handshake"]
    ssh_login(a, b, address)
    shell = a.start("ssh", "-F", "none", "-i", "/run/user", "-o", "StrictHostKeyChecking=no", "-o",
                    "UserKnownHostsFile=/dev/null", "-o", "ServerAliveInterval=0",
                    f"root@{address}", f"for i in $(seq {2 * LIFE}); do echo n$i; sleep 0.5; done",
                    name="shell")
    b.start("iperf3", "-s", "-B", address, name="iperf3-server")
    wait("iperf3 to listen", lambda: b.listens(5201))
    # Both ways, 50 packets a second each, which want to be marked where a queue stands (ECN).
    before = pressure(lab, a, b)
    flows = a.start("iperf3", "-J", "-u", "--bidir", "-b", "200k", "-l", "500", "-S", "2", "-t",
                    str(LIFE), "-c", address, name="iperf3")
    began = time.monotonic()
    pause(3, "the flows begin")
    rotate(a)
    pause(3, "some packets later")
    rotate(b)
    pause(30, "the middle of the keys' life")
    first, second = (h.start(lab.bin("p2pvpnctl"), "key", "rotate", name=f"rotate-{h.name}")
                     for h in (a, b))
    equal([first.ended(), second.ended()], [0, 0], "both at once")
    agree(a, b)
    equal(flows.popen.wait(timeout=LIFE + 60), 0, "exit code of iperf3")
    result = json.loads(flows.text())["end"]
    lost = 0
    for way in ("sum", "sum_bidir_reverse"):
        got = result[way]
        check(got["packets"] > 40 * LIFE, f"{way}: only {got['packets']} packets were sent")
        lost += got["lost_packets"]
    full = pressure(lab, a, b) - before
    check(lost <= full, f"{lost} packets were lost, {full} of them in full queues")
    equal(shell.ended(), 0, "exit code of ssh")
    lines = [x for x in shell.text().split() if x.startswith("n")]
    equal(lines, [f"n{i + 1}" for i in range(2 * LIFE)], "what came through ssh")
    check(a.peer(b)["last_handshake"] > handshakes + 100, "no new handshake")
    print(f"{time.monotonic() - began:.0f} s, {result['sum']['packets']} and "
          f"{result['sum_bidir_reverse']['packets']} packets, {lost} lost, {full} dropped from full queues")


@scenario
def a_crash_and_a_restored_backup(lab):
    """Killed at some moment of a change; and the file of keys is set back to before a change."""
    coordinator, a, b = direct_pair(lab)
    for delay in (0, 0.01, 0.1, 1):
        changing = a.start(lab.bin("p2pvpnctl"), "key", "rotate", name="rotate")
        if delay:
            pause(delay, "a moment of the change")
        a.p2pvpnd.end(signal.SIGKILL)
        changing.end()
        a.daemon()
        agree(a, b)
        # b may still take a for who it was before: packets of the first moment can be lost.
        wait(f"a to reach b after a crash {delay} s into it",
             lambda: a.os_ping(a.addr(b), timeout=1))

    a.run("cp", "/var/lib/p2pvpn/transport.key", "/run/backup")
    rotate(a)
    agree(a, b)
    lost = key(a)
    a.stop_daemon()
    a.run("cp", "/run/backup", "/var/lib/p2pvpn/transport.key")
    a.run("chown", "--reference=/var/lib/p2pvpn", "/var/lib/p2pvpn/transport.key")
    a.daemon()
    wait("a to have a key that members can know", lambda: key(a) != lost and
         a.json("status")["coordinator"]["connected"])
    agree(a, b)
    wait("a to reach b after the backup", lambda: a.os_ping(a.addr(b), timeout=1))
    wait("no problem to be left", lambda: not a.json("status")["problems"])

    # The file is gone, as after a disk that lost it: a new one is made, and members hear of it.
    lost = key(a)
    a.stop_daemon()
    a.run("rm", "/var/lib/p2pvpn/transport.key")
    a.daemon()
    wait("a to have another key", lambda: key(a) != lost and a.json("status")["coordinator"]["connected"])
    agree(a, b)
    wait("a to reach b with it", lambda: a.os_ping(a.addr(b), timeout=1))
    wait("no problem to be left of it", lambda: not a.json("status")["problems"])


@scenario
def status_tells_of_rotated_keys(lab):
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.configure("[security]\nrotate = 10d\n")
    a.daemon()
    a.create(coordinator.url())
    self = a.json("status")["self"]
    days = (self["wg_key_until"] - self["wg_key_since"]) / 86400
    check(9 <= days <= 11, f"replaced after {days} days")
    check("replaced in" in a.ctl("status", "-l").out, a.ctl("status", "-l").out)
    rotate(a)
    a.run("sed", "-i", "s/rotate = 10d/rotate = off/", "/etc/p2pvpn/p2pvpnd.conf")
    a.ctl("reload")
    check("not replaced by itself" in a.ctl("status", "-l").out, a.ctl("status", "-l").out)
    equal(a.json("status")["self"]["wg_key_until"], None, "when it is replaced")
    a.ctl("down")
    check("p2pvpnctl up" in a.ctl("key", "rotate", code=1).err, "the remedy")
    a.ctl("key", "turn", code=2)


@scenario
def stock_wireguard_beside_it(lab):
    """Its user has this node's key in a file: asked first, then it has time to change it."""
    pair = Pair(lab, endpoint="stock")
    pair.ours.p2pvpnd.end()
    config = pair.ours.run("cat", pair.config).out
    config = config[config.index("[peer"):]
    pair.ours.run("sh", "-c", f"cat >{pair.config}", stdin=config)
    coordinator = lab.coordinator()
    ours = pair.ours
    ours.daemon("--config", pair.config, "--port", "51820")
    ours.create(coordinator.url())
    overlay = ours.addr()

    def tell_stock(our_key):
        for line in pair.stock.run("wg", "show", "wg0", "peers").out.split():
            pair.stock.run("wg", "set", "wg0", "peer", line, "remove")
        pair.stock.run("wg", "set", "wg0", "peer", our_key, "allowed-ips", overlay + "/32",
                       "endpoint", f"{ours.ip4}:51820")
        pair.stock.ip(f"route replace {overlay}/32 dev wg0")

    former = key(ours)
    tell_stock(former)
    check(pair.stock.os_ping(overlay), "ping from stock")
    r = ours.ctl("key", "rotate", code=11)
    check("static peer phone" in r.err and "--static" in r.err, f"what it says: {r}")
    pings = pair.stock.start("ping", "-n", "-i", "0.1", "-c", "110", "-W", "15", overlay, name="pings")
    pause(2, "pings before the change")
    rotate(ours, "--static")
    equal(pings.ended(), 0, "exit code of ping")
    equal(answered(pings.text(), 100), 100, "pings in a row")
    check("static peers may use the former key" in ours.ctl("status", "-l").out, ours.ctl("status", "-l").out)

    # Both begin anew: stock with the key that it has, and then with the other one.
    pair.wg.end()
    pair.start_stock()
    ours.restart_daemon(signal.SIGTERM, "--config", pair.config, "--port", "51820")
    for our_key in (former, key(ours)):
        tell_stock(our_key)
        wait("stock to reach it", lambda: pair.stock.os_ping(overlay, timeout=1))
