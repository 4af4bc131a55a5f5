# SPDX-License-Identifier: MIT
"""The NAT emulator between real kernels: real sockets see what was configured."""
from lab import Failure, check, equal, scenario, wait


def world(lab, *settings, **kw):
    """One private network with two hosts, one public host with echo servers on two ports, another
    public host."""
    lan = lab.lan("home", *settings, **kw)
    a = lab.host("a", lan)
    b = lab.host("b", lan)
    pub = lab.host("pub")
    pub2 = lab.host("pub2")
    for h in (pub, pub2):
        for port in (7000, 7001):
            h.answer_udp(port)
    return lan, a, b, pub, pub2


def mapped(host, server, port=7000, local=5000):
    seen = host.udp_ask(server.ip4, port, local_port=local, timeout=15)
    if seen is None:
        raise Failure(f"no answer from {server.name}:{port}")
    address, p = seen.split()
    return address, int(p)


@scenario
def mapping_and_filtering(lab):
    lan, a, _, pub, pub2 = world(lab, "profile=port-restricted")
    nat = lan.nat
    equal(mapped(a, pub), (lan.public, 5000), "EI with preserved port")
    equal(mapped(a, pub2), (lan.public, 5000), "EI, another address")
    for rule, same_port, same_addr in (("ei", True, True), ("ad", True, False),
                                       ("apd", False, False)):
        nat.flush()
        nat.set(mapping=rule, ports="random")
        first = mapped(a, pub)
        equal(mapped(a, pub, 7001) == first, same_port, f"mapping {rule}, other port")
        equal(mapped(a, pub2) == first, same_addr, f"mapping {rule}, other address")
    nat.set(mapping="ei", ports="preserve")
    for rule, other_port, other_addr in (("ei", True, True), ("ad", True, False),
                                         ("apd", False, False)):
        nat.set(filtering=rule)
        nat.flush()
        mapped(a, pub)
        ask = a.udp_ask(pub.ip4, 7000, local_port=5000, timeout=15 if other_port else 0.5, text="via - 7999")
        equal(ask is not None, other_port, f"filtering {rule}, other port")
        pub2.udp_ask(lan.public, 5000, timeout=0.1)
        if other_addr:
            equal(nat.stats()["drops"]["filtered"], 0, f"filtering {rule}: filtered")
        else:
            wait(f"filtering {rule} to keep another address out", lambda: nat.stats()["drops"]["filtered"] > 0)
        nat.program.must_run()


@scenario
def ports_hairpin_and_lifetimes(lab):
    lan, a, b, pub, _ = world(lab, "profile=symmetric-sequential", "step=-3")
    nat = lan.nat
    first = mapped(a, pub)[1]
    equal(mapped(a, pub, 7001)[1], first - 3, "sequential, downwards")
    nat.set(profile="full-cone", hairpin="external", range="40000-40010", ports="random")
    nat.flush()
    port = mapped(b, pub, local=6000)[1]
    check(40000 <= port <= 40010, f"port {port} outside of the range")

    nat.set(ports="preserve")
    nat.flush()
    mapped(b, pub, local=6000)
    b.answer_udp(6000)
    equal(a.udp_ask(lan.public, 6000, local_port=5001, timeout=15), f"{lan.public} 5001", "hairpin source")
    nat.set(hairpin="off")
    check(a.udp_ask(lan.public, 6000, local_port=5002, timeout=0.3) is None, "hairpin while off")

    nat.set(udp_unreplied="5s", udp_replied="5s")
    nat.flush()
    mapped(a, pub)
    equal(len(nat.mappings()), 1, "mappings")
    wait("the mapping to die", lambda: nat.mappings() == [])
    nat.set(udp="7001")
    check(a.udp_ask(pub.ip4, 7000, timeout=0.3) is None, "a blocked port")
    check(a.udp_ask(pub.ip4, 7001, timeout=15) is not None, "an allowed port")


@scenario
def bad_lines(lab):
    lan, a, _, pub, _ = world(lab, "out-delay=40ms", "in-delay=20ms")
    r = a.run("ping", "-n", "-c", "20", "-i", "0.1", pub.ip4)
    least = float(r.out.split("rtt min/avg/max/mdev = ")[1].split("/")[0])
    check(60 <= least < 110, f"least round trip {least} ms, not 60")
    lan.nat.set(delay="0", loss="50%")
    r = a.run("ping", "-n", "-q", "-c", "100", "-i", "0.01", pub.ip4, check_rc=False)
    got = int(r.out.split(" received")[0].split()[-1])
    check(8 <= got <= 42, f"{got} of 100 answers came through 50 % loss both ways, not about 25")


@scenario
def tcp_mtu_and_ping(lab):
    """The kernel's own TCP through it: segmentation, checksums, path MTU discovery, a big file."""
    lan, a, _, pub, _ = world(lab, "mtu-out=1280")
    lan.ns.run("ping", "-n", "-c", "1", "-I", f"{lan.subnet4}.1", pub.ip4)
    server = pub.start("sh", "-c", "nc -d -l 9000 | sha256sum", name="nc")
    wait("nc to listen", lambda: pub.listens(9000))
    mine = a.run("sh", "-c", "head -c 3000000 /dev/urandom >/run/f; sha256sum </run/f;"
                 f"nc -q 1 {pub.ip4} 9000 </run/f", timeout=60).out.strip()
    server.ended()
    equal(server.text().strip(), mine, "checksum after TCP")
    check(lan.nat.stats()["drops"]["too_big"] > 0, "path MTU discovery was not needed")
    r = a.run("ping", "-n", "-c", "1", "-s", "1400", "-M", "do", pub.ip4, check_rc=False)
    check("1280" in r.out + r.err, f"no ICMP with the MTU: {r}")
    check(a.run("ping", "-n", "-c", "1", "-s", "1400", "-M", "dont", pub.ip4).code == 0,
          "a fragmented ping does not pass")
    r = a.run("ping", "-n", "-c", "1", "-t", "1", pub.ip4, check_rc=False)
    check("exceeded" in r.out, f"no time exceeded: {r}")


@scenario
def ipv6_and_double_nat(lab):
    lan, a, _, pub, _ = world(lab, "filtering=apd", ipv6=True)
    check(a.os_ping(pub.ip6), "ping over IPv6 out")
    check(not pub.os_ping(a.ip6, timeout=1), "ping over IPv6 in, through the firewall")
    pub.answer_udp(7006, "::")
    equal(a.udp_ask(pub.ip6, 7006, local_port=5000, timeout=15), f"{a.ip6} 5000", "IPv6 is not translated")
    inner = lab.lan("inner", outer=lan)
    c = lab.host("c", inner)
    equal(mapped(c, pub, local=5555)[0], lan.public, "public address behind two NATs")
    check(c.os_ping(pub.ip4), "ping behind two NATs")
    check(len(inner.nat.mappings()) > 0 and len(lan.nat.mappings()) > 0, "both NATs have mappings")


@scenario
def masquerading_linux_as_described(lab):
    """The artefact of TRAVERSAL 5 on a real Linux router, and on the emulator told to do it."""
    pub = lab.host("pub")
    pub2 = lab.host("pub2")
    for h in (pub, pub2):
        h.answer_udp(7000)
    for name, lan, polluted in (("open", lab.masquerade("open", drop_input=False), True),
                                ("shut", lab.masquerade("shut", drop_input=True), False),
                                ("emu", lab.lan("emu", "profile=linux"), True),
                                ("emushut", lab.lan("emushut", "profile=linux-drop"), False)):
        a = lab.host("a-" + name, lan)
        equal(mapped(a, pub), (lan.public, 5000), f"{name}: first mapping")
        pub2.udp_ask(lan.public, 5000, local_port=7100, timeout=0.1)
        echo = pub2.answer_udp(7100)
        seen = mapped(a, pub2, 7100)
        equal(seen[1] != 5000, polluted, f"{name}: port {seen[1]} after an early inbound packet")
        echo.end()
