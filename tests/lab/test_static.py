# SPDX-License-Identifier: MIT
"""Stock WireGuard (wireguard-go and wg) talks to p2pvpnd through [peer NAME]."""
import shutil

from lab import Skip, check, copy, equal, pause, scenario, ssh_login, wait


def key(host):
    private = host.run("wg", "genkey").out.strip()
    return private, host.run("wg", "pubkey", stdin=private + "\n").out.strip()


class Pair:
    """p2pvpnd on `ours` as a plain WireGuard node, wireguard-go on `stock`."""

    def __init__(self, lab, psk=False, endpoint="both", lan=None, ipv6=False, user=False):
        for tool in ("wireguard-go", "wg"):
            if shutil.which(tool) is None:
                raise Skip(f"{tool} is not installed")
        self.lab = lab
        self.ours, self.stock = lab.host("ours", lan), lab.host("stock")
        if user:
            self.ours.without_root()
        self.ours.run("mkdir", "-p", self.ours.etc)
        self.config = f"{self.ours.etc}/d.conf"
        self.stock_at = f"[{self.stock.ip6}]" if ipv6 else self.stock.ip4
        self.our_private, self.our_public = key(self.ours)
        self.stock_private, self.stock_public = key(self.stock)
        self.psk = self.ours.run("wg", "genpsk").out.strip() if psk else None
        self.endpoint = endpoint
        self.write_config()
        self.ours.daemon("--config", self.config, "--port", "51820")
        self.start_stock()

    def write_config(self):
        self.ours.run("sh", "-c", f"umask 077; cat >{self.ours.etc}/key", stdin=self.our_private + "\n")
        peer = [f"public-key = {self.stock_public}",
                "allowed-ips = 10.77.0.2/32", "allowed-ips = fd77::2/128"]
        if self.endpoint in ("both", "ours"):
            peer.append(f"endpoint = {self.stock_at}:51821")
        if self.psk:
            self.ours.run("sh", "-c", f"umask 077; cat >{self.ours.etc}/psk", stdin=self.psk + "\n")
            peer.append(f"preshared-key-file = {self.ours.etc}/psk")
        text = ("[interface]\naddress = 10.77.0.1/24\naddress = fd77::1/64\n"
                f"private-key-file = {self.ours.etc}/key\n[peer phone]\n" + "\n".join(peer) + "\n")
        self.ours.run("sh", "-c", f"cat >{self.config}", stdin=text)

    def start_stock(self):
        self.wg = self.stock.start("wireguard-go", "-f", "wg0", env={"LOG_LEVEL": "error"})
        wait("wireguard-go to be there",
             lambda: self.wg.must_run() or
             self.stock.run("wg", "show", "wg0", check_rc=False).code == 0)
        self.stock.run("sh", "-c", "umask 077; cat >/run/key", stdin=self.stock_private + "\n")
        args = ["wg", "set", "wg0", "listen-port", "51821", "private-key", "/run/key",
                "peer", self.our_public, "allowed-ips", "10.77.0.1/32,fd77::1/128"]
        if self.endpoint in ("both", "stock"):
            args += ["endpoint", f"{self.ours.ip4}:51820"]
        if self.psk:
            self.stock.run("sh", "-c", "umask 077; cat >/run/psk", stdin=self.psk + "\n")
            args += ["preshared-key", "/run/psk"]
        self.stock.run(*args)
        self.stock.ip("addr add 10.77.0.2/24 dev wg0", "addr add fd77::2/64 dev wg0 nodad",
                      "link set wg0 mtu 1420 up")

    def both_ways(self, timeout=10):
        wait("ours to reach stock", lambda: self.ours.os_ping("10.77.0.2", timeout=1), timeout)
        wait("stock to reach ours", lambda: self.stock.os_ping("10.77.0.1", timeout=1), timeout)
        check(self.ours.os_ping("fd77::2"), "ping over IPv6 to stock")
        check(self.stock.os_ping("fd77::1"), "ping over IPv6 to ours")


def initiates(lab, who):
    pair = Pair(lab, endpoint=who)
    first, second = (pair.ours, pair.stock) if who == "ours" else (pair.stock, pair.ours)
    address = "10.77.0.2" if who == "ours" else "10.77.0.1"
    check(first.os_ping(address, timeout=6), f"the first ping when {who} begins")
    pair.both_ways()
    return pair


@scenario
def we_begin(lab):
    pair = initiates(lab, "ours")
    row = pair.ours.peer("phone")
    equal(row["path"]["type"], "static", "path type")
    equal(row["wg_key"], pair.stock_public, "wg_key")
    equal(row["key"], None, "key of a static peer")
    check(row["last_handshake"], "no time of the last handshake")
    said = pair.ours.ctl("why", "phone").out
    check("nothing is wrong: the last handshake with phone succeeded" in said, said)


@scenario
def stock_begins(lab):
    initiates(lab, "stock")


@scenario
def a_user_without_root_meets_stock(lab):
    Pair(lab, psk=True, user=True).both_ways()


@scenario
def preshared_key_and_its_absence(lab):
    pair = Pair(lab, psk=True)
    pair.both_ways()
    # With another psk nothing passes.
    pair.stock.run("sh", "-c", "wg genpsk >/run/psk2")
    pair.stock.run("wg", "set", "wg0", "peer", pair.our_public, "preshared-key", "/run/psk2")
    pair.wg.end()
    pair.psk, right = pair.stock.run("cat", "/run/psk2").out.strip(), pair.psk
    pair.start_stock()
    check(not pair.ours.os_ping("10.77.0.2", timeout=3), "ping with a wrong preshared key")
    pair.wg.end()
    pair.psk = right
    pair.start_stock()
    pair.both_ways(timeout=20)


@scenario
def both_ends_restart(lab):
    pair = Pair(lab)
    pair.both_ways()
    pair.ours.p2pvpnd.end()
    pair.ours.daemon("--config", pair.config, "--port", "51820")
    pair.both_ways(timeout=20)
    pair.wg.end()
    pair.start_stock()
    pair.both_ways(timeout=20)
    pair.ours.p2pvpnd.kill()
    pair.ours.daemon("--config", pair.config, "--port", "51820")
    pair.both_ways(timeout=20)


@scenario
def both_ends_roam(lab):
    pair = Pair(lab)
    pair.both_ways()
    # Stock moves to another port and says something: we follow.
    pair.stock.run("wg", "set", "wg0", "listen-port", "51999")
    # A packet on its way to the old endpoint while we learn the new one may be lost: at most that.
    check(pair.stock.os_ping("10.77.0.1", count=3), "pings after stock moved")
    check(pair.ours.os_ping("10.77.0.2"), "ping to where stock moved")
    check(":51999" in pair.ours.peer("phone")["path"]["remote"], "our idea of stock's endpoint")
    # Stock moves to another address.
    lab.attach(pair.stock, lab.inet, ipv6=False)
    pair.stock.ip("link del eth0")
    # wireguard-go keeps the source address it sent from; a new port makes it choose again.
    pair.stock.run("wg", "set", "wg0", "listen-port", "51888")
    check(pair.stock.os_ping("10.77.0.1", count=3), "pings after stock changed its address")
    check(pair.ours.os_ping("10.77.0.2"), "ping to stock's new address")
    # We move: stock follows.
    old = pair.ours.ip4
    lab.attach(pair.ours, lab.inet, ipv6=False)
    pair.ours.ip("link del eth0")
    wait("ours to reach stock from a new address",
         lambda: pair.ours.os_ping("10.77.0.2", timeout=1), timeout=10)
    endpoints = pair.stock.run("wg", "show", "wg0", "endpoints").out
    check(old not in endpoints, f"stock still sends to {endpoints}")


def silent_router(lab, mtu, *settings):
    return lab.lan("home", "profile=port-restricted", f"mtu-out={mtu}", f"mtu-in={mtu}", *settings)


@scenario
def a_narrow_path_whose_router_says_nothing(lab):
    """Nobody at the other end answers probes, so what we send may be cut on the way. (Stock sets DF
    itself: its interface is made small.)"""
    pair = Pair(lab, endpoint="ours", lan=silent_router(lab, 1280, "mtu-icmp=no"))
    pair.both_ways()
    pair.stock.ip("link set wg0 mtu 1200", "route replace 10.77.0.1/32 dev wg0 advmss 1380")
    r = pair.ours.run("ping", "-n", "-c", "3", "-i", "0.2", "-s", "1392", "-M", "do", "10.77.0.2",
                      check_rc=False)
    check("3 received" in r.out, f"full packets over a narrow path: {r.out}")
    ssh_login(pair.ours, pair.stock, "10.77.0.2")
    copy(pair.ours, "10.77.0.2")


@scenario(long="IPv6 alone; the rest of it is in unit tests")
def a_narrow_path_over_ipv6(lab):
    """Only the sender can cut there, and is told how much fits."""
    lan = lab.lan("home", "ipv6=forward", "mtu-out=1340", "mtu-in=1340", ipv6=True)
    pair = Pair(lab, endpoint="ours", lan=lan, ipv6=True)
    pair.both_ways()
    pair.stock.ip("link set wg0 mtu 1200", "route replace 10.77.0.1/32 dev wg0 advmss 1380")

    def fits(inner):
        pair.ours.run("ip", "route", "flush", "cache")
        r = pair.ours.run("ping", "-n", "-c", "1", "-W", "1", "-s", str(inner - 28), "-M", "do",
                          "10.77.0.2", check_rc=False)
        return "1 received" in r.out
    wait("the path to be told", lambda: not fits(1420) and pair.ours.peer("phone")["path"]["mtu"]
         < 1420)
    equal(pair.ours.peer("phone")["path"]["mtu"], 1280, "path's MTU")
    check(fits(1280), "1280 bytes, which the host cuts")
    ssh_login(pair.ours, pair.stock, "10.77.0.2")
    copy(pair.ours, "10.77.0.2")


@scenario(long="takes 130 s")
def traffic_over_a_rekey(lab):
    """120 s after the handshake the initiator makes new keys."""
    pair = Pair(lab)
    pair.both_ways()
    first = pair.ours.peer("phone")["last_handshake"]
    for _ in range(26):
        pause(5, "the keys' life")
        check(pair.ours.os_ping("10.77.0.2"), "ping during the rekey")
        check(pair.stock.os_ping("10.77.0.1"), "ping during the rekey, the other way")
    check(pair.ours.peer("phone")["last_handshake"] > first + 100, "no new handshake")


@scenario
def beside_a_network(lab):
    """A static peer and members at once; neither may use the other's addresses."""
    pair = Pair(lab, endpoint="stock")
    pair.ours.p2pvpnd.end()
    config = pair.ours.run("cat", pair.config).out
    config = config[config.index("[peer"):]
    pair.ours.run("sh", "-c", f"cat >{pair.config}", stdin=config)
    coordinator = lab.coordinator()
    member = lab.host("member")
    pair.ours.daemon("--config", pair.config, "--port", "51820")
    member.daemon()
    pair.ours.create(coordinator.url())
    member.join(pair.ours.ctl("invite").out.strip())
    pair.ours.wait_peer(member)
    check(member.os_ping(member.addr(pair.ours)), "ping between members")
    names = pair.ours.peers()
    equal(names["phone"]["path"]["type"] in ("static", "none"), True, "path of the static peer")
    # The device key is the transport key now; stock learns it.
    wg_key = pair.ours.json("ip")["wg_key"]
    pair.our_public = wg_key
    overlay = pair.ours.addr()
    pair.stock.run("wg", "set", "wg0", "peer", wg_key, "allowed-ips", overlay + "/32", "endpoint",
                   f"{pair.ours.ip4}:51820")
    pair.stock.ip(f"route replace {overlay}/32 dev wg0")
    check(pair.stock.os_ping(overlay, timeout=6), "ping from stock to the member's overlay address")
    pair.stock.ip("addr add 10.66.9.9/32 dev wg0")
    r = pair.stock.run("ping", "-c", "1", "-W", "1", "-I", "10.66.9.9", overlay, check_rc=False)
    check("1 received" not in r.out, "a source outside of allowed-ips passed")
