# SPDX-License-Identifier: MIT
"""The remedies of `why` about the way to a member: NATs, families of addresses, closed UDP. Each scenario makes the fault,
does what the text says, and sees a direct path.

`# remedy: NAME` names the line of the table that the scenario carries out.
"""
from lab import check, equal, scenario, wait
from remedylab import cause, gone, problem, remedy_of

NO_BIRTHDAY = "[traversal]\nbirthday = off\n"
OFF = "[traversal]\npredict = off\nbirthday = off\n"


def todo(host, peer, code, remedy, timeout=90):
    """The remedy of `why`, once this is the cause."""
    said = wait(f"{host.name} to find {code} about {peer}", lambda: cause(host, peer, code), timeout)
    equal(said["remedy"], remedy, f"what is to be done about {code}")
    return said["todo"]


def talk(a, b):
    """Somebody wants the path all the time."""
    return a.start("ping", "-n", "-q", "-i", "0.5", str(a.addr(b)), name="ping")


def direct(a, b, code, timeout=120):
    a.wait_direct(b, timeout=timeout)
    wait(f"{a.name} to find {code} no longer", lambda: not cause(a, b.name, code))


def behind(lab, random, conf=""):
    """a and b behind Linux routers, which draw ports or keep them."""
    coordinator = lab.coordinator()
    lans = [lab.masquerade("l" + n, drop_input=True, random=r) for n, r in zip("ab", random)]
    hosts = [lab.host(n, lan) for n, lan in zip("ab", lans)]
    for h in hosts:
        h.configure(conf)
    lab.network(coordinator, hosts)
    hosts[0].wait_peer(hosts[1])
    talk(*hosts)
    return hosts


def forward_port(host):
    """As a person does in the router's menu: one port of UDP to this machine's."""
    port = host.json("status")["interface"]["port"]
    host.lan.ns.nft(f"""
table ip forwarded {{
    chain in {{
        type nat hook prerouting priority -100;
        iifname "wan" udp dport {port} dnat to {host.ip4}
    }}
}}
insert rule inet filter forward ct status dnat accept
""")


@scenario
def two_routers_that_draw_ports(lab):  # remedy: map_one_side
    a, b = behind(lab, (True, True), NO_BIRTHDAY)
    check("forward a port to a node's UDP port" in todo(a, "b", "nat_both", "map_one_side"), "the remedy")
    forward_port(a)
    direct(a, b, "nat_both")


@scenario
def one_router_that_draws_ports(lab):  # remedy: map_here, map_there
    a, b = behind(lab, (True, False), NO_BIRTHDAY)
    todo(b, "a", "nat_theirs", "map_there")
    todo(a, "b", "nat_ours", "map_here")
    forward_port(a)
    direct(a, b, "nat_ours")
    direct(b, a, "nat_theirs")


@scenario
def attempts_that_are_off_at_one_side(lab):  # remedy: predict_or_map_there
    a, b = behind(lab, (True, False), NO_BIRTHDAY)
    b.run("sed", "-i", "/traversal/,$d", "/etc/p2pvpn/p2pvpnd.conf")
    b.configure(OFF)
    b.restart_daemon()
    said = todo(b, "a", "nat_theirs", "predict_or_map_there")
    check("`predict = on` and `birthday = on`" in said, said)
    for h in (a, b):
        h.run("sed", "-i", "s/^predict = off/predict = on/; s/^birthday = off/birthday = on/", "/etc/p2pvpn/p2pvpnd.conf")
        h.ctl("reload")
    direct(b, a, "nat_theirs", 180)


@scenario
def two_networks_behind_one_nat(lab):  # remedy: hairpin
    coordinator = lab.coordinator()
    isp = lab.lan("isp", "profile=port-restricted", "hairpin=off")
    a, b = (lab.host(n, lab.lan("l" + n, "profile=port-restricted", outer=isp)) for n in "ab")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    talk(a, b)
    todo(a, "b", "udp_shared_nat", "hairpin")
    isp.nat.set(hairpin="external")
    direct(a, b, "udp_shared_nat")


@scenario
def udp_is_closed_at_the_coordinator(lab):  # remedy: open_udp_at_coordinator
    coordinator = lab.coordinator()
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c", lab.lan("lc", "profile=port-restricted"))
    lab.network(coordinator, [a, b, c])
    a.wait_direct(b)
    coordinator.host.nft("table inet wall {\nchain in {\ntype filter hook input priority -300;\nmeta l4proto udp drop\n}\n}")
    a.restart_daemon()
    a.wait_direct(b)
    said = problem(a, "UDP is closed at the coordinator", 120)
    equal(remedy_of(a, "UDP is closed"), "open_udp_at_coordinator", said)
    check("have the coordinator's operator let UDP, as TCP, in at" in said, said)
    coordinator.host.nft("delete table inet wall")
    gone(a, "UDP is closed at the coordinator")
    a.wait_direct(c)
