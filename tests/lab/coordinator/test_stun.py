# SPDX-License-Identifier: MIT
"""The coordinator's STUN server asked by programs not written here: Debian's `stun` (RFC 3489) and
coturn's turnutils_natdiscovery (RFC 5780), through NATs of every kind; and by TCP."""
import re
import shutil

from lab import Skip, check, equal, scenario, wait

# The behaviour of each emulated NAT: mapping and filtering in the words of natdiscovery, and the words of
# the classic client.
EI, AD, APD = ("Endpoint Independent", "Address Dependent", "Address and Port Dependent")
PROFILES = (
    ("full-cone", EI, EI, "Independent Mapping, Independent Filter"),
    ("address-restricted", EI, AD, "Independent Mapping, Address Dependent Filter"),
    ("port-restricted", EI, APD, "Independent Mapping, Port Dependent Filter"),
    ("symmetric", APD, APD, "Dependent Mapping"),
)

STUN_TCP = r"""
import os, socket, struct, sys
s = socket.create_connection((sys.argv[1], 3478), 5)
ids = [os.urandom(12) for _ in range(2)]
for i in ids:
    s.sendall(struct.pack('>HHI', 1, 0, 0x2112A442) + i)
for i in ids:
    head = s.recv(20, socket.MSG_WAITALL)
    kind, n, cookie = struct.unpack('>HHI', head[:8])
    body = s.recv(n, socket.MSG_WAITALL)
    assert (kind, cookie, head[8:]) == (0x101, 0x2112A442, i), head
    t, l, _, family, port, ip = struct.unpack('>HHBBHI', body[:12])
    assert (t, l, family) == (0x20, 8, 1), body
    ip = struct.pack('>I', ip ^ cookie)
    print(socket.inet_ntoa(ip), port ^ 0x2112, s.getsockname()[1])
"""


# Sends every client on to the address it was started with (RFC 8489 section 10), by UDP.
ELSEWHERE = r"""
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 3478))
host, port = sys.argv[1].split(':')
print('ready', flush=True)
while True:
    data, who = s.recvfrom(2048)
    error = struct.pack('>HHHBB', 9, 4, 0, 3, 0)
    other = struct.pack('>HHBBH', 0x8023, 8, 0, 1, int(port)) + socket.inet_aton(host)
    s.sendto(struct.pack('>HH', 0x111, len(error + other)) + data[4:20] + error + other, who)
"""


def needs(program, package):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed (Debian package {package})")


def server(lab):
    """A coordinator with two addresses."""
    host = lab.host("coord")
    second = f"{host.lan.subnet4}.{host.lan.next_host}"
    host.lan.next_host += 1
    host.ip(f"addr add {second}/24 dev {host.dev}")
    coordinator = lab.coordinator(host, args=["--alt-address", second])
    return coordinator, second


@scenario
def the_classic_client_names_every_nat(lab):
    needs("stun", "stun-client")
    coordinator, _ = server(lab)
    lan = lab.lan("home")
    a = lab.host("a", lan)
    for profile, _, _, words in PROFILES:
        lan.nat.set(profile=profile)
        lan.nat.flush()
        r = a.run("stun", coordinator.public(), check_rc=False)
        check(f"Primary: {words}" in r.out, f"{profile}: {r}")
    pub = lab.host("pub")
    r = pub.run("stun", coordinator.public(), check_rc=False)
    check("Primary: Open" in r.out, f"no NAT: {r}")


@scenario
def natdiscovery_finds_mapping_and_filtering(lab):
    needs("turnutils_natdiscovery", "coturn")
    coordinator, second = server(lab)
    lan = lab.lan("home")
    a = lab.host("a", lan)
    for profile, mapping, filtering, _ in PROFILES:
        lan.nat.set(profile=profile)
        questions = [("-f", "Filtering", filtering)]
        if profile in ("full-cone", "symmetric"):
            questions = [("-m", "Mapping", mapping)]
        for option, kind, want in questions:
            lan.nat.flush()
            r = a.run("turnutils_natdiscovery", option, coordinator.public(), check_rc=False,
                      timeout=60)
            got = re.findall(rf"NAT with (.*) {kind}", r.out + r.err)
            equal(got, [want], f"{profile}, {kind}: {r}")
            check(second in r.out + r.err, f"the second address is not told: {r}")


@scenario
def by_tcp_on_the_port_of_the_control_channel(lab):
    coordinator = lab.coordinator()
    lan = lab.lan("home", "profile=port-restricted")
    a = lab.host("a", lan)
    lines = a.run("python3", "-c", STUN_TCP, coordinator.public()).out.splitlines()
    equal(len(lines), 2, "answers")
    for line in lines:
        ip, port, local = line.split()
        equal((ip, port), (lan.public, local), "address seen by TCP")
    check(coordinator.url().startswith("p2pvpn://"), "the coordinator goes on")


@scenario
def the_client_asks_by_tls_and_follows_to_other_servers(lab):
    coordinator = lab.coordinator()
    lan = lab.lan("home", "profile=port-restricted")
    a, x, y = lab.host("a", lan), lab.host("x"), lab.host("y")
    address = f"{coordinator.public()}:3478"
    r = a.json("stun", "--tls", address)
    equal([(x["by"], x["error"]) for x in r["answers"]], [("UDP", None), ("TCP", None), ("TLS", None)],
          "three ways")
    equal({x["mapped"].split(":")[0] for x in r["answers"]}, {lan.public}, "the address seen")
    r = a.json("stun", f"stuns:{address}")
    equal([x["by"] for x in r["answers"]], ["TLS"], "by TLS alone")
    a.ctl("stun", f"stuns:{coordinator.public()}", code=3)  # nobody listens on 5349
    for host, to in ((x, address), (y, f"{y.ip4}:3478")):
        server = host.start("python3", "-c", ELSEWHERE, to, name="elsewhere")
        wait("the server to be ready", lambda: server.must_run() or "ready" in server.text())
    r = a.json("stun", f"stun:{x.ip4}")["answers"][0]
    equal((r["by"], r["server"], r["mapped"].split(":")[0]), ("UDP", address, lan.public),
          "sent on to the coordinator")
    r = a.ctl("stun", y.ip4, code=3)  # it sends us back to itself
    check("does not answer" in r.err, f"a circle: {r}")
