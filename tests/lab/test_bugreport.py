# SPDX-License-Identifier: MIT
"""doctor and bugreport on real machines."""
import base64
import json
import os

from lab import check, equal, scenario, wait

REPORT = "/run/report"
# All that the configuration has of secrets: in files, and where somebody wrote them nevertheless.
CONFIG = """# password = opensesame
; opensesame-too
[relay]
turn = turn:198.51.100.250
user = node
password-file = /etc/p2pvpn/turn-password
[peer phone]
public-key = {public}
allowed-ips = 10.77.0.2/32
preshared-key-file = /etc/p2pvpn/phone.psk
[chat]
notify = /bin/true --let-me-in cuckoo-clock
"""


@scenario
def no_secret_is_in_a_bugreport(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    public, preshared = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    for name, text in (("turn-password", "between-relays"), ("phone.psk", preshared)):
        a.run("sh", "-c", f"mkdir -p /etc/p2pvpn; umask 077; cat > /etc/p2pvpn/{name}", stdin=text + "\n")
    a.configure(CONFIG.format(public=public))
    lab.network(coordinator, [a, b])
    a.ctl("key", "rotate", "--static")
    a.wait_peer(b)
    token = a.ctl("invite").out.strip()
    a.ctl("send", "b", "between us")
    url = coordinator.url()
    secrets = [token, token.removeprefix("p2pvpn-"), url.rsplit("?c=", 1)[-1], "between us", "opensesame",
               "cuckoo-clock", "between-relays", preshared]
    for name in ("identity.key", "transport.key", "root.key"):
        keys = [x.split()[0] for x in a.run("cat", f"/var/lib/p2pvpn/{name}").out.splitlines()]
        check(len(keys) > (name == "transport.key"), f"the keys in {name}")
        secrets += keys
    for flags in ((), ("--redact",)):
        a.ctl("bugreport", "-o", REPORT, *flags)
        text = a.run("cat", REPORT).out
        equal(a.run("stat", "-c", "%a", REPORT).out.strip(), "600", "mode of the report")
        a.run("rm", REPORT)
        for part in ("versions", "status", "peers", "why, peer 1", "trace, peer 1", "metrics",
                     "configuration"):
            check(f"== {part}\n" in text, f"{part} is missing")
        check("notify = /bin/true (its arguments are left out)\n" in text, "the program is named")
        for secret in secrets:
            check(len(secret) > 8 and secret not in text, f"{secret} is in the report")
        if flags:
            for name in (a.addr(), a.addr(b), a.ip4, b.ip4, '"a"', '"b"'):
                check(str(name) not in text, f"{name} is in a redacted report")


def know_names(host):
    """Or doctor misses it."""
    host.run("sh", "-c", "echo 'hosts: files p2pvpn dns' >/etc/p2pvpn/nsswitch;"
             "mount --bind /etc/p2pvpn/nsswitch /etc/nsswitch.conf")


@scenario
def doctor_is_content_with_a_node_that_works(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    know_names(a)
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    wait("doctor to say that all is well",
         lambda: a.ctl("doctor", "-l", check_rc=False).code == 0)
    out = a.ctl("doctor", "-l").out
    a.nft("table inet wall {\nchain in {\ntype filter hook input priority 0; policy accept;\n"
             "ct state established,related accept\niifname lo accept\nct state new drop\n}\n}")
    told = a.ctl("doctor", "-l", check_rc=False).out
    check("table inet wall" in told and "drops what members begin" in told and "iifname" in told, told)
    a.wait_direct(b)
    def told_of_the_kernel(words):
        told = b.ctl("why", "a", "-l").out
        return words in told and "doctor" in told
    wait("b to be told of it", lambda: told_of_the_kernel("its kernel answers no program"))
    # firewalld's own way of refusing
    a.nft("insert rule inet wall in ct state new reject with icmpx admin-prohibited")
    wait("b to be told of a refusal", lambda: told_of_the_kernel("its kernel lets no program in"))
    a.nft('insert rule inet wall in iifname "p2pvpn0" accept')
    wait("doctor to be content", lambda: a.ctl("doctor", "-l", check_rc=False).code == 0)
    wait("b not to be told of it any more", lambda: "its kernel" not in b.ctl("why", "a", "-l").out)
    a.nft("delete table inet wall")
    # By IPv6 alone, to which names resolve first; and by sets with a name.
    for family, rules, drops in (("ip6", "ct state new drop", "by IPv6"),
                                 ("inet", "meta nfproto ipv6 iifname p2pvpn0 drop", "by IPv6"),
                                 ("ip", "ip saddr @bad drop", "by IPv4"),
                                 ("inet", "ct state established accept\niifname @ok accept\ndrop", ":")):
        a.nft(f"table {family} wall {{\nset ok {{ type ifname; elements = {{ {a.dev}, lo }}; }}\n"
              "set bad { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.0/24 }; }\n"
              f"chain in {{\ntype filter hook input priority 0; policy accept;\n{rules}\n}}\n}}")
        told = a.ctl("doctor", "-l", check_rc=False)
        check(told.code != 0 and f"(table {family} wall, chain in) drops what members begin" in told.out, told)
        wait(f"b to be told of {rules}", lambda drops=drops: told_of_the_kernel(f"answers no program{' ' * (drops != ':')}{drops}"))
        a.nft(f"delete table {family} wall")
    a.nft("table inet wall {\nset s { type ifname . inet_service; }\nchain in {\n"
          "type filter hook input priority 0; policy accept;\nmeta iifname . tcp dport @s accept\n"
          "ct mark 7 drop\n}\n}")
    told = a.ctl("doctor", "-l", check_rc=False)
    check(told.code == 0 and "packets of members reach programs here" in told.out, told)
    a.nft("delete table inet wall")
    a.nft("table inet wall {\nchain in {\ntype filter hook input priority 0; policy accept;\ntcp dport 80 drop\n}\n}")
    told = a.ctl("doctor", "-l", check_rc=False)
    check(told.code == 0 and "rules for single ports are not tried" in " ".join(told.out.split()), told)
    a.nft("delete table inet wall")
    # A rule that lets in a port alone is silence to `why`: doctor tells of it.
    a.nft("table inet wall {\nchain vpn {\ntcp dport 22 accept\n}\nchain in {\n"
          f'type filter hook input priority 0; policy drop;\niifname vmap {{ "lo" : accept, "{a.dev}" : accept, '
          '"p2pvpn0" : jump vpn }\n}\n}')
    told = a.ctl("doctor", "-l", check_rc=False)
    check(told.code == 0 and "(table inet wall, chain in) lets through some of what members begin" in told.out, told)
    wait("b to be told of it", lambda: told_of_the_kernel("its kernel answers no program"))
    a.nft("delete table inet wall")
    a.nft(f"table inet wall {{\nchain in {{\n{INPUT}\niifname p2pvpn0 drop\n}}\n}}")
    r = a.run("unshare", "-m", "sh", "-c", f"mount --bind /bin/false \"$(readlink -f /usr/sbin/nft)\" && "
              f"{lab.bin('p2pvpnctl')} doctor -l", check_rc=False)
    check(r.code == 1 and "drops what members begin: by which rule is not known, as nft is missing or fails" in
          " ".join(r.out.split()), f"doctor without nft: {r}")
    a.nft("delete table inet wall")
    # A machine that has the static program and nothing else is told before it joins.
    for programs, remedy in ((("nft",), "install nftables"), (("ip", "nft"), "install iproute2 and nftables")):
        hide = "".join(f"mount --bind /dev/null \"$(readlink -f /usr/sbin/{x})\" && " for x in programs)
        r = a.run("unshare", "-m", "sh", "-c", f"{hide}{lab.bin('p2pvpnctl')} doctor", check_rc=False)
        check(r.code == 1 and f"to do: {remedy}\n" in r.out, f"doctor without {programs}: {r}")
    for name in ("tun", "programs", "disk", "names", "group", "daemon", "versions", "rights", "network", "interface", "firewall", "mtu",
                 "coordinator", "udp", "nat", "port mapping", "clock"):
        check(f"\nok   {name} " in "\n" + out, f"{name} is not looked at, or not well: {out}")
    equal(a.run(*a.as_user(), lab.bin("p2pvpnctl"), "doctor", check_rc=False).code, 0, "exit code for alice")
    stranger = ["setpriv", "--reuid=1972", "--regid=1972", "--clear-groups", "--"]
    r = a.run(*stranger, lab.bin("p2pvpnctl"), "doctor", check_rc=False)
    check(r.code != 0 and 'usermod -aG p2pvpn "$USER"' in r.out, f"a user who may not: {r}")
    a.ctl("down")
    r = a.ctl("doctor", "-l", check_rc=False)
    equal(r.code, 1, "exit code of doctor on a machine that is down")
    check("run: `sudo p2pvpnctl up`" in r.out, r.out)


# Ways in which a host's own rules drop: the table and chain that doctor names, and the rules.
INPUT = "type filter hook input priority 0; policy accept;"
ESTABLISHED = "ct state established,related accept"
WALLS = {
    "a jump to a chain that drops": ("inet wall", "x", f"""table inet wall {{
chain x {{
drop
}}
chain in {{
{INPUT}
{ESTABLISHED}
iifname "p2pvpn0" jump x
}}
}}"""),
    "any jump to a chain that drops": ("ip wall", "x", f"""table ip wall {{
chain x {{
ct state new reject
}}
chain in {{
{INPUT}
jump x
}}
}}"""),
    "the overlay's range": ("ip wall", "in", f"""table ip wall {{
chain in {{
{INPUT}
{ESTABLISHED}
ip saddr RANGE drop
}}
}}"""),
    "a range around it, in a set": ("inet wall", "in", f"""table inet wall {{
chain in {{
{INPUT}
{ESTABLISHED}
ip daddr {{ 192.0.2.1, 10.0.0.0/8, 100.64.0.0/10 }} iifname != {{ "lo", "host0" }} drop
}}
}}"""),
    "before the input": ("ip raw", "PREROUTING", """table ip raw {
chain PREROUTING {
type filter hook prerouting priority -300; policy accept;
iifname "p2pvpn0" counter drop
}
}"""),
    "at the interface": ("netdev wall", "c", """table netdev wall {
chain c {
type filter hook ingress device "p2pvpn0" priority 0; policy accept;
drop
}
}"""),
    "at several interfaces": ("netdev wall", "c", """table netdev wall {
chain c {
type filter hook ingress devices = { "lo", "p2pvpn0" } priority 0; policy accept;
iifname "p2pvpn0" meta protocol ip drop
}
}"""),
    "answers": ("inet wall", "out", """table inet wall {
chain out {
type filter hook output priority 0; policy accept;
oifname "p2pvpn0" drop
}
}"""),
    "answers, by a policy": ("inet wall", "out", """table inet wall {
chain out {
type filter hook output priority 0; policy drop;
oifname != "p2pvpn0" accept
ct state new accept
}
}"""),
    "answers, at the interface": ("netdev wall", "c", """table netdev wall {
chain c {
type filter hook egress device "p2pvpn0" priority 0; policy accept;
drop
}
}"""),
    "names by a star": ("inet wall", "in", f"""table inet wall {{
chain in {{
{INPUT}
iifname "p2pvpn*" drop
}}
}}"""),
    "a mark that is missing": ("inet wall", "in", f"""table inet wall {{
chain in {{
{INPUT}
iifname "p2pvpn0" meta mark != 7 drop
}}
}}"""),
    "a mark of the connection, early": ("inet wall", "early", """table inet wall {
chain early {
type filter hook prerouting priority mangle - 5; policy accept;
iifname "p2pvpn0" ct mark 0 ct state new drop
}
}"""),
    "a policy at another priority": ("inet wall", "late", """table inet wall {
chain late {
type filter hook input priority 35; policy drop;
iifname != "p2pvpn0" accept
}
}"""),
    "a set that changes, by a verdict map": ("inet wall", "x", f"""table inet wall {{
chain x {{
reject with icmpx admin-prohibited
}}
chain in {{
{INPUT}
meta iifname vmap {{ "p2pvpn0" : jump x }}
}}
}}"""),
    "what programs begin": ("inet wall", "out", """table inet wall {
chain out {
type filter hook output priority 0; policy accept;
oifname "p2pvpn0" ct state new drop
}
}"""),
    "what programs begin, of no cgroup of theirs": ("inet wall", "out", """table inet wall {
chain out {
type filter hook output priority 0; policy accept;
oifname "p2pvpn0" ct state new meta cgroup != 5 drop
}
}"""),
    "what programs begin, after the routing": ("inet wall", "post", """table inet wall {
chain post {
type filter hook postrouting priority 0; policy accept;
oifname "p2pvpn0" ct direction original drop
}
}"""),
    "what members answer": ("inet wall", "in", f"""table inet wall {{
chain in {{
{INPUT}
iifname "p2pvpn0" ct direction reply drop
}}
}}"""),
    "an accept behind the drop": ("inet wall", "in", f"""table inet wall {{
chain in {{
{INPUT}
{ESTABLISHED}
iifname "lo" accept
ct state new drop
iifname "p2pvpn0" accept
}}
}}"""),
}


@scenario
def a_firewall_lets_members_in_after_doctors_remedy(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    know_names(a)
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    for host in (a, b):
        host.start("nc", "-d", "-l", "-k", str(host.addr()), "9000", name="nc")
        wait("nc to listen", lambda host=host: host.listens(9000))
    reach = lambda host, other: host.run("nc", "-z", "-w", "1", str(other.addr()), "9000", check_rc=False).code == 0
    connects = lambda: reach(b, a) and reach(a, b)

    def firewall():
        checks = json.loads(a.ctl("doctor", "--json", check_rc=False).out)["checks"]
        return next(x for x in checks if x["name"] == "firewall")
    wait("a connection", connects)
    check(firewall()["well"], "a firewall that is not there")
    cidr = a.json("status")["network"]["cidr"]
    for what, (table, chain, rules) in WALLS.items():
        a.nft(rules.replace("RANGE", cidr))
        wait(f"{what}: drops", lambda: not connects())
        said = firewall()
        check(not said["well"] and f"(table {table}, chain {chain})" in said["text"], f"{what}: {said}")
        words = next((x for x in ("answers to members", "programs here send", "answers of members") if x in said["text"]), "members begin")
        equal(words, "answers to members" if what.startswith("answers") else "programs here send" if what.startswith("what programs")
              else "answers of members" if what.startswith("what members") else "members begin", f"{what}: which packets")
        typed = [x for x in said["todo"].split("`") if x.startswith("nft ")]
        equal(len(typed), 1, f"{what}: commands in {said['todo']}")
        a.run("sh", "-c", typed[0])
        said = firewall()
        check(said["well"], f"{what}, after `{typed[0]}`: {said}")
        wait("doctor to be content", lambda: a.ctl("doctor", "-l", check_rc=False).code == 0)
        wait(f"a connection, {what}", connects)
        a.nft(f"delete table {table}")


def firewall_line(host, *user):
    checks = json.loads(host.run(*user, host.lab.bin("p2pvpnctl"), "doctor", "--json", check_rc=False).out)["checks"]
    return next(x for x in checks if x["name"] == "firewall")


# Rules as people type them for iptables, the chain that doctor names, and the packets.
IPTABLES = {
    "a rule": (["-A INPUT -i p2pvpn0 -m conntrack --ctstate NEW -j DROP"], "INPUT", "members begin"),
    "a chain of ours that refuses": (["-N wall", "-A wall -j REJECT", "-A INPUT -i p2pvpn0 -j wall"], "wall", "members begin"),
    "a policy": (["-A INPUT ! -i p2pvpn0 -j ACCEPT", "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-P INPUT DROP"],
                 "INPUT", "members begin"),
    "answers": (["-A OUTPUT -o p2pvpn0 -m conntrack --ctstate ESTABLISHED -j DROP"], "OUTPUT", "answers to members"),
    "what programs begin": (["-t mangle -A POSTROUTING -o p2pvpn0 -m conntrack --ctstate NEW -j DROP"], "POSTROUTING",
                            "programs here send"),
}


@scenario
def rules_of_both_iptables_are_named(lab):  # remedy: open_firewall
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    know_names(a)
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    for program in ("iptables-nft", "iptables-legacy", "ip6tables-legacy"):
        for what, (rules, chain, words) in IPTABLES.items():
            for rule in rules:
                a.run(program, *rule.split())
            said = firewall_line(a)
            table = "mangle" if "mangle" in rules[0] else "filter"
            named = f"{table} of {program}" if "legacy" in program else f"ip {table}"
            check(not said["well"] and f"(table {named}, chain {chain})" in said["text"] and words in said["text"],
                  f"{what} of {program}: {said}")
            typed = [x for x in said["todo"].split("`") if x.startswith(("nft ", "iptables", "ip6tables"))]
            a.run("sh", "-c", typed[0])
            said = firewall_line(a)
            check(said["well"], f"{what} of {program}, after `{typed[0]}`: {said}")
            for words in (["-P", "INPUT", "ACCEPT"], ["-F"], ["-X"], ["-t", "mangle", "-F"]):
                a.run(program, *words)


@scenario
def a_user_hears_what_drops_the_own_packets(lab):  # remedy: doctor_as_root, look_at_kernel, install_nft
    """A rule about one user is none to root; and what no rule of a firewall drops is said to be that."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    know_names(a)
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    alice = a.as_user()
    number = next(x for x in alice if x.startswith("--reuid=")).split("=")[1]
    check(firewall_line(a, *alice)["well"], "a firewall that is not there")
    a.nft("table inet wall {\nchain out {\ntype filter hook output priority 0; policy accept;\n"
          f'oifname "p2pvpn0" ct state new meta skuid {number} drop\n}}\n}}')
    said = firewall_line(a, *alice)
    check(not said["well"] and "drops what programs here send to members" in said["text"] and
          said["remedy"] == "doctor_as_root", said)
    check(firewall_line(a)["well"], "the rule is about root")
    told = a.run(*alice, lab.bin("p2pvpnctl"), "why", "b").out
    check("But this machine drops what programs here send to b" in " ".join(told.split()), told)
    a.nft("delete table inet wall")
    told = a.run(*alice, lab.bin("p2pvpnctl"), "why", "b").out
    check("But" not in told, told)
    # One member alone is kept out: doctor tries one, and why each.
    a.nft(f"table ip wall {{\nchain in {{\n{INPUT}\nip saddr {b.addr()} ct state new drop\n}}\n}}")
    told = a.ctl("why", "b").out
    check("But this machine drops what b begins by IPv4" in " ".join(told.split()), told)
    todo = firewall_line(a)["todo"]
    check(f"(table ip wall, chain in)" in firewall_line(a)["text"] and "`nft insert " in todo, todo)
    a.nft("delete table ip wall")
    # Without nft it is known that something drops.
    a.nft(f"table inet wall {{\nchain in {{\n{INPUT}\niifname p2pvpn0 drop\n}}\n}}")
    told = a.run("unshare", "-m", "sh", "-c", f"mount --bind /bin/false \"$(readlink -f /usr/sbin/nft)\" && "
                 f"{lab.bin('p2pvpnctl')} doctor --json", check_rc=False).out
    said = next(x for x in json.loads(told)["checks"] if x["name"] == "firewall")
    check(said["remedy"] == "install_nft", said)
    check(firewall_line(a)["remedy"] == "open_firewall", "nft is there again")
    a.nft("delete table inet wall")
    # No rule of a firewall.
    a.ip(f"route add prohibit {b.addr()}")
    said = firewall_line(a)
    check(said["remedy"] == "look_at_kernel" and "drops the answers to members by IPv4, and no rule" in said["text"], said)
    for words in said["todo"].split("`")[1::2]:
        if "prohibit" in a.run("sh", "-c", words, check_rc=False).out:
            a.ip(f"route del prohibit {b.addr()}")
    check(firewall_line(a)["well"], firewall_line(a))
