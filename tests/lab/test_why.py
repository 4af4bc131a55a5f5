# SPDX-License-Identifier: MIT
"""Faults of every kind, one after the other; `why PEER` (or status, or the command that failed)
must name the cause of each.

A fault is a generator: it makes the fault, yields what is to be asked and the words that must be in
the answer, and then does what the answer says is to do. With that the words must go. `remedy` names the rows of
lib/base/remedy.h that it carries out. Those marked `long` run with PV_LAB_LONG=1 only; PV_WHY_FAULT=NAME,...
picks some.
"""
import json
import os
import shutil
import time

from lab import LONG, Coordinator, Failure, Skip, check, equal, scenario, wait

FAULTS = {}  # world -> its faults, in order


def fault(world, long=True, remedy=()):
    def add(function):
        function.remedies = {remedy} if isinstance(remedy, str) else set(remedy)
        if LONG or not long:
            FAULTS.setdefault(world, []).append(function)
        return function
    return add


def seed(world_name, world):
    """Every fault of a world; all that are not named are listed at the end."""
    missed = []
    only = os.environ.get("PV_WHY_FAULT")
    for function in FAULTS[world_name]:
        if only and function.__name__ not in only.split(","):
            continue
        began = time.monotonic()
        said, shown = [], set()
        try:
            for ask, *words in function(world):
                try:
                    expect(function.__name__, ask, words)
                    if ask.remedies is not set:  # a command that fails says no more than its error
                        said.append((ask, words[0]))
                    shown.update(ask.remedies())
                except Failure as e:  # the fault is taken away all the same
                    missed.append(f"{function.__name__}: {e}")
            check(function.remedies <= shown, f"the remedies are {shown}")
            for ask, words in said if function.remedies else ():
                wait(f"{words} to go", lambda ask=ask, words=words: words not in " ".join(ask().split()), 120, every=0.5)
        except Failure as e:
            missed.append(f"{function.__name__}, what is to do: {e}")
        print(f"    {function.__name__} {time.monotonic() - began:.1f} s", flush=True)
    check(not missed, "not named:\n" + "\n".join(missed))


def expect(name, ask, words, timeout=60):
    said = []

    def named():
        said[:] = [ask()]
        flat = " ".join(said[0].split())
        return all(w in flat for w in words)
    try:
        wait(name, named, timeout, every=0.2)
    except Failure:
        raise Failure(f"{words} is not in\n{said[0]}") from None


def answer(host, *args):
    """In JSON; {} where there is none."""
    try:
        return json.loads(host.ctl(*args, "--json", check_rc=False).out)
    except ValueError:
        return {}


def why(host, peer):
    def ask():
        r = host.ctl("why", peer, "-l", check_rc=False)
        return r.out + r.err
    ask.remedies = lambda: {answer(host, "why", peer).get("remedy")}
    return ask


def status(host):
    def ask():
        return host.ctl("status", "-l", check_rc=False).out
    ask.remedies = lambda: set(answer(host, "status").get("remedies", []))
    return ask


def run_todo(host, peer):
    """Types the first command of the remedy."""
    todo = answer(host, "why", peer)["todo"]
    host.ctl(*todo.split("`")[1].replace("sudo ", "").split()[1:], check_rc=False)


def command(host, *args):
    """The error of a command that fails."""
    def ask():
        r = host.ctl(*args, check_rc=False, timeout=60)
        check(r.code != 0, f"it worked: {r}")
        return r.err
    ask.remedies = set
    return ask


def network_changed(*hosts):
    for h in hosts:
        h.ip("addr add 192.0.2.77/32 dev lo", "addr del 192.0.2.77/32 dev lo")


# ---- the way between two members -----------------------------------------------------------------

class Paths:
    """a and b behind port-restricted NATs, with traffic from a to b all the time."""

    def __init__(self, lab):
        self.lab = lab
        self.coordinator = lab.coordinator()
        self.east = lab.lan("east", "profile=port-restricted", "delay=5ms")
        self.west = lab.lan("west", "profile=port-restricted", "delay=5ms")
        self.a, self.b = lab.host("a", self.east), lab.host("b", self.west)
        lab.network(self.coordinator, [self.a, self.b])
        self.a.wait_peer(self.b)
        if "nobody_asked" not in os.environ.get("PV_WHY_FAULT", "nobody_asked"):
            self.talk()
            self.direct()

    def talk(self):
        self.a.start("ping", "-n", "-q", "-i", "0.2", str(self.a.addr(self.b)), name="ping")

    def direct(self):
        """For the faults that follow; those of the default run do not need it."""
        if not LONG:
            return
        network_changed(self.a, self.b)
        self.a.wait_direct(self.b, timeout=90)

    def filter(self, lan, *rules):
        lan.ns.nft("table ip fault {\nchain forward {\ntype filter hook forward priority 0;\n"
                   + "".join(f"{r} drop\n" for r in rules) + "}\n}\n")

    def open(self, *lans):
        for lan in lans or (self.east, self.west):
            lan.ns.run("nft", "flush", "ruleset")
        self.direct()


@fault("paths", long=False, remedy="ping")
def nobody_asked(w):
    yield why(w.a, "b"), "cause: nobody has asked for a path", "p2pvpnctl ping b"
    run_todo(w.a, "b")
    w.talk()


@fault("paths", long=False)
def no_such_name(w):
    yield command(w.a, "why", "nobody"), "no peer nobody"


@fault("paths", long=False)
def nothing_wrong(w):
    w.a.wait_direct(w.b)
    yield why(w.a, "b"), "b has been reached directly", "cause: nothing is wrong"


@fault("paths", long=False, remedy="open_one_way")
def one_way_out(w):
    w.filter(w.west, f"ip saddr {w.east.public} meta l4proto udp")
    yield (why(w.a, "b"), "cause: UDP passes in one direction only", "checks of b arrive here",
           "from here to b is filtered")
    w.open(w.west)


@fault("paths", remedy=("open_one_way", "look_at_firewalls"))
def one_way_in(w):
    w.filter(w.east, f"ip saddr {w.west.public} meta l4proto udp")
    yield why(w.b, "a"), "cause: UDP passes in one direction only", "checks of a arrive here"
    yield why(w.a, "b"), "cause: UDP between here and b is dropped on the way"
    w.open(w.east)


@fault("paths", remedy="look_at_firewalls")
def udp_between_the_two_filtered(w):
    w.filter(w.east, f"ip daddr {w.west.public} meta l4proto udp",
             f"ip saddr {w.west.public} meta l4proto udp")
    yield (why(w.a, "b"), "cause: UDP between here and b is dropped on the way", "checks left",
           "none of b's arrived")
    w.open(w.east)


@fault("paths", remedy="pass_udp")
def wireguard_filtered(w):
    w.filter(w.east, f"ip daddr {w.west.public} udp length >= 8 @th,64,8 4")
    yield why(w.a, "b"), "cause: something on the way lets checks pass and drops WireGuard"
    w.open(w.east)


@fault("paths")
def mtu_hole(w):
    w.east.nat.set(mtu_out=1300, mtu_in=1300, mtu_icmp="no")
    big = w.a.start("ping", "-n", "-q", "-i", "0.2", "-s", "1300", str(w.a.addr(w.b)), name="big")
    yield why(w.a, "b"), "cause: the path carries packets of", "bytes only"
    big.end()
    w.east.nat.set(mtu_out=1500, mtu_in=1500, mtu_icmp="yes")
    w.direct()


@fault("paths", remedy="slow_line")
def far_away(w):
    w.east.nat.set(delay="400ms")
    yield why(w.a, "b"), "cause: the way is long", "round trip"
    w.east.nat.set(delay="5ms")


@fault("paths", remedy="radio")
def lossy(w):
    w.east.nat.set(loss="30%")
    yield why(w.a, "b"), "cause: the path loses packets"
    w.east.nat.set(loss="0")
    w.direct()


@fault("paths", remedy=("open_udp", "open_udp_there"))
def udp_blocked_here(w):
    w.east.nat.set(udp="off")
    yield why(w.a, "b"), "cause: UDP is blocked here", "everything goes through TCP on 3478"
    yield status(w.a), "UDP is blocked"
    yield why(w.b, "a"), "cause: UDP is blocked at a"
    # A firewall of b's own is found by way of the relay, too.
    w.b.nft('table ip wall {\nchain in {\ntype filter hook input priority 0; policy accept;\n'
            'iifname "p2pvpn0" ct state new drop\n}\n}')
    yield why(w.a, "b"), "cause: UDP is blocked here", "But its kernel answers no program by IPv4"
    w.b.nft("delete table ip wall")
    w.east.nat.set(udp="all")
    w.direct()


@fault("paths", remedy="open_udp_there")
def udp_blocked_there(w):
    w.west.nat.set(udp="off")
    yield why(w.a, "b"), "cause: UDP is blocked at b"
    w.west.nat.set(udp="all")
    w.direct()


@fault("paths", long=False, remedy="wake_peer")
def peer_asleep(w):
    os.kill(w.b.p2pvpnd.pid, 19)
    yield why(w.a, "b"), "cause: b does not answer", "asleep"
    os.kill(w.b.p2pvpnd.pid, 18)
    w.direct()


@fault("paths", remedy="wake_peer")
def cable_of_the_peer_pulled(w):
    w.b.ip("link set eth0 down")
    yield why(w.a, "b"), "cause: b does not answer", "asleep"
    w.b.ip("link set eth0 up", f"route replace default via {w.b.lan.subnet4}.1")
    w.a.wait_peer(w.b, timeout=60)
    w.direct()


@fault("paths", remedy=("check_link", "check_address"))
def cable_pulled(w):
    w.a.ip("link set eth0 down")
    yield why(w.a, "b"), "cause: this machine has no network"
    yield status(w.a), "this machine has no network"
    w.a.ip("link set eth0 up", f"route replace default via {w.a.lan.subnet4}.1")
    w.a.wait_peer(w.b, timeout=60)
    w.direct()


@fault("paths")
def coordinator_killed(w):
    w.coordinator.program.kill()
    yield status(w.a), "refuses the connection", "is p2pvpn-coordinator running there", "(tried "
    w.coordinator.start()
    w.a.wait_peer(w.b, timeout=60)


@fault("paths")
def coordinator_filtered(w):
    w.filter(w.east, "ip daddr 198.51.100.0/24 tcp dport 3478")
    yield status(w.a), "no answer from the coordinator", "TCP"
    w.open(w.east)
    w.a.wait_peer(w.b, timeout=60)


@fault("paths")
def coordinator_hangs(w):
    os.kill(w.coordinator.program.pid, 19)
    yield status(w.a), "accepts the connection and says nothing"
    os.kill(w.coordinator.program.pid, 18)
    w.a.wait_peer(w.b, timeout=60)


@fault("paths")
def coordinator_has_another_key(w):
    w.coordinator.end()
    w.coordinator.host.run("sh", "-c", "mv /var/lib/p2pvpn-coordinator /var/lib/aside")
    w.coordinator.start()
    yield status(w.a), "or an admin's `sudo p2pvpnctl network coordinators add URL`"  # its last words
    w.coordinator.end()
    w.coordinator.host.run("sh", "-c", "rm -r /var/lib/p2pvpn-coordinator;"
                           " mv /var/lib/aside /var/lib/p2pvpn-coordinator")
    w.coordinator.start()
    w.a.wait_peer(w.b, timeout=60)


@fault("paths", remedy="see_status")
def away_and_the_peer_too(w):
    """b is off while the coordinator is away: nobody can say whether it is there."""
    w.b.stop_daemon()
    w.coordinator.program.kill()
    yield why(w.a, "b"), "cause: cannot reach the coordinator", "refuses the connection"
    w.coordinator.start()
    w.b.daemon()
    w.a.wait_peer(w.b, timeout=60)


@fault("paths", long=False, remedy="start_peer")
def peer_killed(w):
    w.b.p2pvpnd.kill()
    yield why(w.a, "b"), "cause: b is offline"
    w.b.daemon()
    w.a.wait_peer(w.b)


@fault("paths", long=False, remedy="up")
def this_node_down(w):
    wait("a path", lambda: "; in use" in w.a.ctl("why", "b", "-l").out)
    w.a.ctl("down")
    check("; in use" not in w.a.ctl("why", "b", "-l", check_rc=False).out, "a path of a machine that is down is in use")
    yield why(w.a, "b"), "cause: this machine is down", "p2pvpnctl up"
    run_todo(w.a, "b")


@fault("paths", long=False)
def peer_left(w):
    w.b.ctl("leave")
    yield command(w.a, "why", "b"), "b left the network"


@fault("paths", long=False, remedy="join_anew")
def peer_removed(w):
    w.b.join(w.a.ctl("invite").out.strip())
    w.a.wait_peer(w.b)
    w.a.ctl("remove", "b")
    yield command(w.a, "why", "b"), "b was removed from the network"
    yield status(w.b), "this node was removed from the network"
    w.b.ctl("leave", "--forget")
    w.b.ctl("join", w.a.ctl("invite").out.strip(), "--name", "b-again")


@fault("paths")
def daemon_not_running(w):
    w.a.stop_daemon()
    yield command(w.a, "why", "b"), "p2pvpnd is not running"


@scenario(minutes=20)
def faults_between_members(lab):
    seed("paths", Paths(lab))


# ---- NATs ----------------------------------------------------------------------------------------

def behind(lab, first, second, config=None, coordinator_args=()):
    coordinator = lab.coordinator(args=coordinator_args)
    a = lab.host("a", lab.lan("la", f"profile={first}", "delay=5ms"))
    b = lab.host("b", lab.lan("lb", f"profile={second}", "delay=5ms"))
    args = []
    if config:
        for h in (a, b):
            h.run("sh", "-c", "cat >/run/d.conf", stdin=config)
        args = ["--config", "/run/d.conf"]
    for h in (a, b):
        h.daemon(*args)
    a.create(coordinator.url())
    b.join(a.ctl("invite").out.strip())
    a.wait_peer(b)
    a.start("ping", "-n", "-q", "-i", "0.5", str(a.addr(b)), name="ping")
    return a, b


OFF = "[traversal]\npredict = off\nbirthday = off\nportmap = off\n"
NO_BIRTHDAY = "[traversal]\nbirthday = off\nportmap = off\n"


@scenario(long="one of many faults")
def two_symmetric_nats(lab):
    a, _ = behind(lab, "symmetric", "symmetric")
    expect("two symmetric NATs", why(a, "b"),
           ["cause: both NATs are symmetric", "to do:", "PCP or UPnP"],
           60)


@scenario(long="one of many faults")
def attempts_switched_off(lab):
    a, b = behind(lab, "port-restricted", "symmetric", OFF)
    for one, other in ((a, "b"), (b, "a")):
        expect("attempts off", why(one, other),
               ["cause: no check gets through to " + other, "switched off here",
                "to do: `predict = on`"])
    equal(answer(a, "why", "b")["remedy"], "predict", "the remedy")  # remedy: predict
    for h in (a, b):
        h.run("sed", "-i", "s/^predict = off/predict = on/; s/^birthday = off/birthday = on/", "/run/d.conf")
        h.restart_daemon(15, "--config", "/run/d.conf")
    a.wait_direct(b, timeout=180)


@scenario(long="one of many faults")
def their_nat_and_no_birthday(lab):
    """Against a random NAT only many sockets help."""
    a, b = behind(lab, "port-restricted", "symmetric", NO_BIRTHDAY)
    expect("their NAT", why(a, "b"),
           ["cause: the NAT of b is symmetric"])
    expect("our NAT", why(b, "a"), ["cause: our NAT is symmetric"])


@scenario(long="one of many faults")
def no_relay_and_symmetric_nats(lab):
    a, _ = behind(lab, "symmetric", "symmetric", NO_BIRTHDAY, ("--no-relay",))
    expect("no relay", why(a, "b"), ["cause: both NATs are symmetric",
                                     "the coordinator offers no relay"], 60)


@scenario(long="one of many faults")
def no_relay_and_udp_blocked(lab):
    coordinator = lab.coordinator(args=["--no-relay"])
    a = lab.host("a", lab.lan("la", "profile=port-restricted", "udp=off"))
    b = lab.host("b", lab.lan("lb", "profile=port-restricted"))
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.start("ping", "-n", "-q", "-i", "0.5", str(a.addr(b)), name="ping")
    expect("no relay, no UDP", why(a, "b"), ["cause: UDP is blocked here",
                                             "the coordinator offers no relay"])


@scenario(long="one of many faults")
def kept_apart_behind_one_nat(lab):
    """A guest network: clients may not talk to each other, and the router does not hairpin."""
    coordinator = lab.coordinator()
    lan = lab.lan("guests", "profile=port-restricted", "delay=5ms")
    a, b = lab.host("a", lan), lab.host("b", lan)
    for port in lan.ns.run("sh", "-c", "ls /sys/class/net/br0/brif").out.split():
        lan.ns.run("bridge", "link", "set", "dev", port, "isolated", "on")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.start("ping", "-n", "-q", "-i", "0.5", str(a.addr(b)), name="ping")
    expect("kept apart", why(a, "b"), ["cause: both are behind the same public address",
                                       "keeps them apart"])
    equal(answer(a, "why", "b")["remedy"], "join_clients", "the remedy")  # remedy: join_clients
    for port in lan.ns.run("sh", "-c", "ls /sys/class/net/br0/brif").out.split():
        lan.ns.run("bridge", "link", "set", "dev", port, "isolated", "off")
    a.wait_direct(b, timeout=90)


# ---- the own machine: create, join, start --------------------------------------------------------

class Alone:
    def __init__(self, lab):
        self.lab = lab
        self.coordinator = lab.coordinator()
        self.a, self.c = lab.host("a"), lab.host("c")
        self.a.daemon()
        self.c.daemon()


@fault("alone")  # create tries for 30 s
def wrong_coordinator_key(w):
    other = w.lab.coordinator(w.lab.host("other")).url()
    wrong = other.replace(w.lab.hosts["other"].ip4, w.coordinator.public())
    yield command(w.a, "create", wrong, "--name", "a"), "closes the connection without an answer"


@fault("alone")
def coordinator_unknown_to_dns(w):
    url = w.coordinator.url().replace(w.coordinator.public(), "coordinator.invalid")
    yield command(w.a, "create", url, "--name", "a"), "coordinator.invalid"


@fault("alone")
def nothing_listens(w):
    url = w.coordinator.url().replace(w.coordinator.public(), w.c.ip4)
    yield command(w.a, "create", url, "--name", "a"), "refuses the connection"


@fault("alone")
def no_token(w):
    yield command(w.a, "join", "p2pvpn-nonsense"), "token"


@fault("alone")
def token_used_up(w):
    w.a.create(w.coordinator.url())
    w.token = w.a.ctl("invite", "--uses", 1).out.strip()
    w.c.join(w.token)
    d = w.lab.host("d")
    d.daemon()
    w.d = d
    yield command(d, "join", w.token), "used"


@fault("alone")
def token_revoked(w):
    token = w.a.ctl("invite", "--uses", 3).out.strip()
    mine = [i for i in w.a.json("invite", "list")["invites"] if i["uses"] == 3]
    w.a.ctl("invite", "revoke", mine[0]["id"])
    yield command(w.d, "join", token), "revoked"


@fault("alone", remedy="other_name")
def no_tun(w):
    w.c.stop_daemon()
    w.c.run("sh", "-c", "ip tuntap add dev p2pvpn0 mode tun; ip link set p2pvpn0 up")
    holder = w.c.start("python3", "-c", HOLD_TUN, name="holder")
    wait("the interface to be held", lambda: "held" in holder.text())
    w.c.daemon()
    yield why(w.c, "a"), "cause: the interface is not up"
    yield status(w.c), "the interface is not up"
    holder.end()
    w.c.stop_daemon()
    w.c.run("ip", "link", "del", "p2pvpn0", check_rc=False)
    w.c.daemon()


@fault("alone", remedy="set_clock")
def clock_off(w):
    """Seen by comparing with the coordinator's clock; here the C library lies to the daemon."""
    w.c.stop_daemon()
    w.c.run("sh", "-c", "cat >/run/clock.c", stdin=CLOCK)
    w.c.run("gcc", "-shared", "-fPIC", "-o", "/run/clock.so", "/run/clock.c")
    w.c.daemon(env={"LD_PRELOAD": "/run/clock.so",
                    "ASAN_OPTIONS": os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"})
    yield status(w.c), "this machine's clock is", "behind the coordinator's"
    w.c.stop_daemon()
    w.c.daemon()


HOLD_TUN = """
import fcntl, os, signal, struct
fd = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'p2pvpn0', 0x1001))
print('held', flush=True)
signal.pause()
"""

CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);
    if (id == CLOCK_REALTIME)
        ts->tv_sec -= 3 * 3600;
    return r;
}
"""


@scenario(long="one of many faults")
def faults_of_the_own_machine(lab):
    seed("alone", Alone(lab))


# ---- static peers --------------------------------------------------------------------------------

class Statics:
    """x and y know each other by [peer]; each fault is another configuration of x."""

    def __init__(self, lab):
        if shutil.which("wg") is None:
            raise Skip("wg is not installed")
        self.x, self.y = lab.host("x"), lab.host("y")
        self.keys = {}
        for h in (self.x, self.y):
            private = h.run("wg", "genkey").out.strip()
            h.run("sh", "-c", "umask 077; cat >/run/key", stdin=private + "\n")
            self.keys[h] = h.run("wg", "pubkey", stdin=private + "\n").out.strip()
        self.config(self.y, "10.77.0.2", self.keys[self.x], "10.77.0.1")

    def config(self, host, own, key, theirs, *more):
        text = (f"[interface]\naddress = {own}/24\nprivate-key-file = /run/key\n[peer other]\n"
                f"public-key = {key}\nallowed-ips = {theirs}/32\n" + "\n".join(more) + "\n")
        host.run("sh", "-c", "cat >/run/d.conf", stdin=text)
        if host.p2pvpnd:
            host.stop_daemon()
        host.daemon("--config", "/run/d.conf", "--port", "51820")

    def x_with(self, *more, key=None):
        self.config(self.x, "10.77.0.1", key or self.keys[self.y], "10.77.0.2", *more)
        self.x.os_ping("10.77.0.2", timeout=1)
        return why(self.x, "other")

    def mend(self):
        """The [peer] is right, and answers."""
        self.x_with(f"endpoint = {self.y.ip4}:51820")
        wait("y to answer", lambda: self.x.os_ping("10.77.0.2", timeout=1))


@fault("statics", long=False, remedy="give_endpoint")
def no_endpoint(w):
    yield w.x_with(), "cause: no endpoint is configured for other", "endpoint ="
    w.mend()


@fault("statics", long=False, remedy="look_at_static_peer")
def wrong_key_of_a_static_peer(w):
    wrong = w.x.run("wg", "pubkey", stdin=w.x.run("wg", "genkey").out).out.strip()
    yield (w.x_with(f"endpoint = {w.y.ip4}:51820", key=wrong),
           "cause: handshakes are not answered", "public-key")
    w.mend()


@fault("statics", remedy="same_preshared_key")
def wrong_preshared_key(w):
    w.x.run("sh", "-c", "umask 077; wg genpsk >/run/psk")
    yield (w.x_with(f"endpoint = {w.y.ip4}:51820", "preshared-key-file = /run/psk"),
           "cause: its answers do not fit our keys", "preshared-key-file")
    w.mend()


@fault("statics", remedy="correct_public_key")
def key_nobody_knows(w):
    """y calls with a key that x does not have."""
    wrong = w.x.run("wg", "pubkey", stdin=w.x.run("wg", "genkey").out).out.strip()
    ask = w.x_with(f"endpoint = {w.y.ip4}:51820", key=wrong)
    w.config(w.y, "10.77.0.2", w.keys[w.x], "10.77.0.1", f"endpoint = {w.x.ip4}:51820",
             "persistent-keepalive = 5")
    yield ask, "handshakes with a key that is not configured come from", w.keys[w.y]
    w.mend()
    w.config(w.y, "10.77.0.2", w.keys[w.x], "10.77.0.1")


@fault("statics", remedy="correct_endpoint")
def endpoint_unknown_to_dns(w):
    yield (w.x_with("endpoint = nowhere.invalid:51820"), "cause: the endpoint nowhere.invalid",
           "is not found")
    w.mend()


@fault("statics", remedy="send_something")
def nothing_was_sent(w):
    w.config(w.x, "10.77.0.1", w.keys[w.y], "10.77.0.2", f"endpoint = {w.y.ip4}:51820")
    yield why(w.x, "other"), "cause: no handshake was tried"
    w.x.os_ping("10.77.0.2", timeout=5)


@scenario
def faults_of_static_peers(lab):
    seed("statics", Statics(lab))


@scenario
def a_coordinator_whose_forward_hides_addresses(lab):
    """In a container behind a port that is published by masquerading: it sees one address for all."""
    box = lab.masquerade("box", False)
    host = lab.host("coord", box)
    box.ns.nft(f"""
table ip forwarded {{
    chain prerouting {{
        type nat hook prerouting priority -100;
        iifname "wan" meta l4proto {{ tcp, udp }} th dport 3478 dnat to {host.ip4}
    }}
    chain postrouting {{
        type nat hook postrouting priority 99;
        oifname "br0" ct status dnat masquerade
    }}
}}
insert rule inet filter forward ct status dnat accept
""")
    coordinator = Coordinator(lab, host, start=False)
    coordinator.public = lambda: box.public
    coordinator.start()
    a, b = (lab.host(n, lab.lan("lan-" + n, "profile=port-restricted")) for n in "ab")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "the relay does not join them")
    seen = f"the coordinator sees this machine at {box.subnet4}.1, a private address"
    for ask in (why(a, "b"), status(a), lambda: a.ctl("doctor", check_rc=False).out):
        expect("the proxy", ask, [seen])
    check("in this LAN" not in a.ctl("status", "-l").out, "the coordinator is in no LAN of a's")
    wait("the coordinator to say so", lambda: "one private address" in coordinator.program.text())
    todo = answer(a, "why", "b")["todo"]
    check("forwards to it without masquerading" in todo, todo)
    box.ns.run("nft", "flush", "chain", "ip", "forwarded", "postrouting")  # remedy: pass_addresses, pass_addresses_or_stun
    box.ns.forget_connections()
    a.wait_direct(b, timeout=90)
    for ask in (why(a, "b"), status(a), lambda: a.ctl("doctor", check_rc=False).out):
        wait("it to be named no longer", lambda ask=ask: seen not in " ".join(ask().split()))
