# SPDX-License-Identifier: MIT
"""p2pvpnctl netcheck and stun with real sockets: every profile of the emulator, plain Linux routers,
our coordinator and coturn as servers, UDP blocked. No root, no daemon, no network needed."""
import json
import shutil

from lab import SLOW, Skip, Stopwatch, check, equal, scenario, wait

PROFILES = (
    # profile, name, mapping, filtering, ports
    ("full-cone", "full cone", "endpoint-independent", "endpoint-independent", "preserved"),
    ("address-restricted", "address-restricted", "endpoint-independent", "address-dependent",
     "preserved"),
    ("port-restricted", "port-restricted", "endpoint-independent", "address- and port-dependent",
     "preserved"),
    ("symmetric", "symmetric", "address- and port-dependent", "address- and port-dependent",
     "random"),
    ("symmetric-sequential", "symmetric", "address- and port-dependent",
     "address- and port-dependent", "sequential"),
    ("symmetric-block", "symmetric", "address- and port-dependent", "address- and port-dependent",
     "block"),
    ("linux", "port-restricted", "endpoint-independent", "address- and port-dependent",
     "preserved"),
    ("linux-drop", "port-restricted", "endpoint-independent", "address- and port-dependent",
     "preserved"),
)


def second_address(host):
    second = f"{host.lan.subnet4}.{host.lan.next_host}"
    host.lan.next_host += 1
    host.ip(f"addr add {second}/24 dev {host.dev}")
    return second


def server(lab):
    """A coordinator with two addresses."""
    host = lab.host("coord")
    return lab.coordinator(host, args=["--alt-address", second_address(host)])


def netcheck(host, address, *args, **kw):
    """As nobody: it must need no rights."""
    watch = Stopwatch()
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
            host.lab.bin("p2pvpnctl"), "netcheck", "--server", address, "--json", *args]
    r = host.run(*argv, **kw)
    took = watch.seconds()
    # Three seconds on a quiet machine: a datagram that a busy one delays is asked for once more.
    check(took < 15 * SLOW or "--lifetime" in args, f"netcheck took {took:.1f} s")
    return json.loads(r.out)


def expect(have, name, mapping, filtering, ports, what):
    equal((have["name"], have["mapping"], have["filtering"], have["ports"]),
          (name, mapping, filtering, ports), what)


@scenario
def every_profile_is_named(lab):
    coordinator = server(lab)
    lan = lab.lan("home", "delay=10ms")
    a = lab.host("a", lan)
    for profile, *want in PROFILES:
        lan.nat.set(profile=profile)
        lan.nat.flush()
        r = netcheck(a, coordinator.public())
        expect(r["ipv4"], *want, profile)
        equal(r["ipv4"]["public"], [lan.public], "public address")
        equal(r["ipv4"]["hairpin"] in ("no", "unknown"), True, "hairpin while off")
    equal(r["ipv6"], None, "IPv6")
    lan.nat.set(profile="port-restricted", hairpin="external")
    equal(netcheck(a, coordinator.public())["ipv4"]["hairpin"], "yes", "hairpin")
    pub = lab.host("pub")
    r = netcheck(pub, coordinator.public())["ipv4"]
    equal((r["name"], r["nat"]), ("open", "no"), "a public machine")
    pub.nft("""
table inet guard {
    chain input {
        type filter hook input priority 0; policy accept;
        iifname "eth0" ct state new drop
    }
}
""")
    equal(netcheck(pub, coordinator.public())["ipv4"]["name"], "firewall", "with a firewall")
    out = a.ctl("netcheck", "--server", coordinator.public()).out
    check("port-restricted" in out and "direct paths to everybody" in out, f"in words: {out}")
    r = a.json("stun", coordinator.public())
    equal(len([x for x in r["answers"] if x["mapped"]]), 2, "answers by UDP and TCP")


OTHERS = (
    # settings, name, mapping, filtering, ports, hairpin, delta or block size
    # a host takes no packet that comes back with its own inner address
    ({"profile": "full-cone", "ports": "random", "hairpin": "internal"}, "full cone",
     "endpoint-independent", "endpoint-independent", "random", "no", None),
    ({"profile": "address-restricted", "ports": "sequential", "hairpin": "external"},
     "address-restricted", "endpoint-independent", "address-dependent", "sequential", "yes", 1),
    ({"profile": "port-restricted", "ports": "block", "block-size": "1024"}, "port-restricted",
     "endpoint-independent", "address- and port-dependent", "block", "no", 1024),
    ({"profile": "symmetric", "mapping": "ad"}, "symmetric", "address-dependent",
     "address- and port-dependent", "random", "unknown", None),
    ({"profile": "symmetric", "filtering": "ad"}, "symmetric", "address- and port-dependent",
     "address-dependent", "random", "unknown", None),
    ({"profile": "symmetric", "ports": "preserve"}, "symmetric", "address- and port-dependent",
     "address- and port-dependent", "preserved", "unknown", None),
    ({"profile": "symmetric-sequential", "step": "-1"}, "symmetric", "address- and port-dependent",
     "address- and port-dependent", "sequential", "unknown", -1),
    ({"profile": "symmetric-sequential", "step": "2", "foreign": "10"}, "symmetric",
     "address- and port-dependent", "address- and port-dependent", "sequential", "unknown", 2),
    ({"profile": "symmetric-block", "block-size": "256"}, "symmetric",
     "address- and port-dependent", "address- and port-dependent", "block", "unknown", 256),
    ({"profile": "symmetric-block", "block-size": "2048"}, "symmetric",
     "address- and port-dependent", "address- and port-dependent", "block", "unknown", 2048),
)
DEFAULTS = {"hairpin": "off", "step": "1", "foreign": "0", "block-size": "512"}


@scenario(long="takes half a minute, and sim/netcheck has them all")
def every_other_behaviour_is_named(lab):
    coordinator = server(lab)
    lan = lab.lan("home", "delay=10ms")
    a = lab.host("a", lan)
    for settings, name, mapping, filtering, ports, hairpin, number in OTHERS:
        lan.nat.set(**DEFAULTS)
        lan.nat.set(**settings)  # the profile comes first and sets the others
        lan.nat.flush()
        r = netcheck(a, coordinator.public())["ipv4"]
        expect(r, name, mapping, filtering, ports, settings)
        equal(r["hairpin"], hairpin, f"hairpin: {settings}")
        if ports == "sequential":
            equal(r["delta"], number, f"delta: {settings}")
        if ports == "block":  # an estimate: half of it at least
            check(r["block"]["size"] in (number // 2, number), f"block: {settings}: {r['block']}")


@scenario
def nats_behind_nats_are_counted(lab):
    coordinator = server(lab)
    outer = lab.lan("gateway", "profile=symmetric-block")
    inner = lab.lan("home", "profile=port-restricted", outer=outer)
    one, two, pub = lab.host("one", outer), lab.host("two", inner), lab.host("pub")
    for host, levels in ((pub, 0), (one, 1), (two, 2)):
        equal(netcheck(host, coordinator.public())["nat_levels"], levels, f"NATs before {host.name}")
    out = two.ctl("netcheck", "--server", coordinator.public()).out
    check("two or more (private networks on the way out)" in out, f"in words: {out}")
    r = netcheck(two, coordinator.public())
    equal((r["ipv4"]["name"], r["ipv4"]["ports"]), ("symmetric", "block"), "the worse of two NATs")


@scenario
def linux_routers_are_what_they_are(lab):
    coordinator = server(lab)
    for name, random, drop in (("plain", False, True), ("open", False, False),
                               ("random", True, True)):
        lan = lab.masquerade(name, drop_input=drop, random=random)
        a = lab.host("h" + name, lan)
        r = netcheck(a, coordinator.public())["ipv4"]
        if random:
            expect(r, "symmetric", "address- and port-dependent", "address- and port-dependent",
                   "random", name)
        else:
            expect(r, "port-restricted", "endpoint-independent", "address- and port-dependent",
                   "preserved", name)


MINIUPNPD = """
ext_ifname=wan
ext_ip={public}
listening_ip=br0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
system_uptime=yes
uuid=11111111-2222-3333-4444-555555555555
lease_file=/run/upnp.leases
allow 1024-65535 {subnet}.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


REAL = "9.113.0.1"  # miniupnpd refuses addresses that are for documentation


@scenario
def a_router_that_opens_ports_is_found(lab):
    """miniupnpd on a Linux router: PCP, NAT-PMP and UPnP; silence where there is none."""
    if shutil.which("miniupnpd") is None:
        raise Skip("miniupnpd is not installed (Debian packages miniupnpd, miniupnpd-nftables)")
    coordinator = server(lab)
    lan = lab.masquerade("home", drop_input=False)
    a = lab.host("a", lan)
    r = netcheck(a, coordinator.public())
    equal([r["router"][k] for k in ("pcp", "nat_pmp", "upnp")], ["no"] * 3, "a silent router")
    equal((r["router"]["address"], r["nat_levels"]), (f"{lan.subnet4}.1", None), "the router")
    conf = "/run/miniupnpd.conf"
    lan.ns.run("sh", "-c", f"cat >{conf}",
               stdin=MINIUPNPD.format(public=REAL, subnet=lan.subnet4))
    daemon = lan.ns.start("miniupnpd", "-d", "-f", conf, "-P", "/run/miniupnpd.pid")
    wait("miniupnpd to listen", lambda: daemon.must_run() or
         lan.ns.run("ss", "-Hlun", "sport = :5351").out.strip())
    r = wait("the router to be seen", lambda: (lambda x: x if x["router"]["upnp"] == "yes" else None)
             (netcheck(a, coordinator.public())))
    equal([r["router"][k] for k in ("pcp", "nat_pmp", "upnp")], ["yes"] * 3, "miniupnpd")
    equal((r["router"]["external"], r["nat_levels"]), (REAL, 2), "seen from elsewhere: two NATs")
    lab.inet.ns.ip(f"route add {REAL}/32 dev nat1")
    lan.ns.ip(f"addr add {REAL}/32 dev wan")
    lan.ns.nft(f"""
table ip first {{
    chain postrouting {{
        type nat hook postrouting priority 90;
        oifname "wan" snat to {REAL}
    }}
}}
""")
    # From a host that the router has no bindings of: a run takes 18 ports, and may draw one that a former run had.
    r = netcheck(lab.host("b", lan), coordinator.public())
    equal((r["ipv4"]["public"], r["nat_levels"]), ([REAL], 1), "one NAT")


@scenario
def blocked_udp_and_a_lesser_server(lab):
    """One address only, then nothing but TCP, then nobody."""
    coordinator = lab.coordinator()
    lan = lab.lan("home", "profile=symmetric")
    a = lab.host("a", lan)
    r = netcheck(a, coordinator.public())["ipv4"]
    equal((r["name"], r["mapping"]), ("symmetric", "address- and port-dependent"), "by ports alone")
    lan.nat.set(profile="port-restricted")
    r = netcheck(a, coordinator.public())["ipv4"]
    equal((r["name"], r["mapping"], r["filtering"]),
          ("unknown", "unknown", "address- and port-dependent"), "one address")
    other = lab.host("other")  # another server makes the second address
    second = lab.coordinator(other)
    r = netcheck(a, f"{coordinator.public()},{second.public()}")["ipv4"]
    equal((r["name"], r["mapping"]), ("port-restricted", "endpoint-independent"), "two servers")
    lan.nat.set(udp="53")
    r = netcheck(a, coordinator.public())
    equal((r["udp"], r["ipv4"]["name"]), ("blocked", "blocked"), "UDP blocked")
    check("TCP" in r["verdict"], f"verdict: {r}")
    lan.nat.set(tcp="80")
    a.ctl("netcheck", "--server", coordinator.public(), code=3)
    a.ctl("netcheck", code=2)  # no daemon to ask for a server
    a.ctl("stun", "no such host", code=2)


@scenario
def one_address_of_a_server_tells_what_it_can(lab):
    """The README's own coordinator, which has no second address."""
    coordinator = lab.coordinator()
    lan = lab.lan("home", "delay=10ms")
    pub, a = lab.host("pub"), lab.host("a", lan)

    def words(host):
        return host.ctl("netcheck", "--server", coordinator.public()).out

    def has(out, *lines):
        rows = [" ".join(row.split()) for row in out.splitlines()]
        for line in lines:
            check(line in rows or any(line in row for row in rows[:1]), f"not {line!r} in: {out}")

    r = netcheck(pub, coordinator.public())["ipv4"]
    equal((r["nat"], r["name"]), ("no", "unknown"), "a public machine")
    has(words(pub), "NAT none", "filtering not by port; by address: unknown",
        "No NAT: this machine has its public address itself.")
    lan.nat.set(profile="port-restricted")
    has(words(a), "mapping not by port; by address: unknown", "A NAT that keeps one public port")
    equal(netcheck(a, coordinator.public())["ipv4"]["nat"], "yes", "behind a NAT")
    lan.nat.set(profile="symmetric")
    lan.nat.flush()
    r = netcheck(a, coordinator.public())["ipv4"]
    check("one public port" not in words(a), f"another port for each of the server's: {r}")


@scenario
def ipv6_and_the_daemons_own_coordinator(lab):
    """Both families at once, IPv6 behind a firewall; and no --server where a daemon knows one."""
    host = lab.host("coord")
    second = f"{host.lan.subnet6}::fffe"
    host.ip(f"addr add {second}/64 dev {host.dev} nodad")
    coordinator = lab.coordinator(host, args=["--alt-address", second_address(host),
                                              "--alt-address", second])
    lan = lab.lan("home", "profile=port-restricted", ipv6=True)
    a = lab.host("a", lan)
    pub = lab.host("pub")
    for h, name4, name6 in ((a, "port-restricted", "firewall"), (pub, "open", "open")):
        r = netcheck(h, f"{host.ip4},{host.ip6}")
        equal((r["ipv4"]["name"], r["ipv6"]["name"]), (name4, name6), f"both families on {h.name}")
        equal((r["ipv6"]["nat"], r["ipv6"]["public"]), ("no", [h.ip6]), "IPv6")
    a.daemon()
    a.create(coordinator.url())
    r = a.json("netcheck")
    equal((r["ipv4"]["server"], r["ipv4"]["name"]), (f"{host.ip4}:3478", "port-restricted"),
          "the daemon's coordinator")
    # A machine without IPv4 is not told that the server is down.
    pub.ip(f"addr flush dev {pub.dev} scope global")
    r = pub.ctl("netcheck", "--server", host.ip4, check_rc=False)
    check(r.code == 3 and "Nothing leads out of here by IPv4, and the server has no IPv6" in r.out and
          "was not asked" in r.err, f"no IPv4: {r}")


@scenario
def the_lifetime_is_measured(lab):
    coordinator = lab.coordinator()
    lan = lab.lan("home", "profile=port-restricted", "udp-replied=3s")
    a = lab.host("a", lan)
    r = netcheck(a, coordinator.public(), "--lifetime", timeout=60)["ipv4"]
    equal(r["lifetime"], {"min_s": 0, "max_s": 5}, "lifetime")


@scenario
def coturn_as_the_server(lab):
    if shutil.which("turnserver") is None:
        raise Skip("turnserver is not installed (Debian package coturn)")
    host = lab.host("coturn")
    second = second_address(host)
    host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", "/run/key.pem", "-out", "/run/cert.pem", "-subj", "/CN=turn",
             "-days", "2")
    host.start("turnserver", "-n", "--listening-ip", host.ip4, "--listening-ip", second,
               "--no-cli", "--no-auth", "--log-file", "stdout", "--cert", "/run/cert.pem",
               "--pkey", "/run/key.pem", "--no-dtls", "--pidfile", "/run/turn.pid", "--userdb", "/run/turndb", name="turnserver")
    wait("coturn to listen", lambda: host.run("ss", "-Hlun", "sport = :3479").out.count("\n") >= 2)
    lan = lab.lan("home")
    a = lab.host("a", lan)
    for profile, *want in PROFILES[:4]:
        lan.nat.set(profile=profile)
        lan.nat.flush()
        expect(netcheck(a, host.ip4)["ipv4"], *want, profile)
    r = a.json("stun", host.ip4)
    equal([x["by"] for x in r["answers"] if x["mapped"]], ["UDP", "TCP"], "coturn answers")
    r = a.json("stun", f"stuns:{host.ip4}")
    equal([(x["by"], x["error"]) for x in r["answers"]], [("TLS", None)], "coturn by TLS")
