# SPDX-License-Identifier: MIT
"""What `status`, `exit`, `route`, `why` and `doctor` say of packets that go by members: only what packets have shown."""
import json
import sys

from exitlab import through, use, world
from lab import check, equal, scenario, wait

# One request to p2pvpnd, without p2pvpnctl, which sends packets before it shows routes.
ASK = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect('/run/p2pvpn/p2pvpnd.sock')
f = s.makefile('rw')
f.write(json.dumps({'id': 1, 'cmd': sys.argv[1]}) + '\\n')
f.flush()
for line in f:
    if json.loads(line).get('id') == 1:
        print(line)
        break
"""
IN_PLACE = "in place, not used by a packet yet"


def ask(host, command):
    return json.loads(host.run(sys.executable, "-c", ASK, command).out)


def exit_of(host):
    return ask(host, "status")["routes"]["exit"]


def default4(host):
    return next(r for r in ask(host, "routes")["routes"] if r["prefix"] == "0.0.0.0/0")


def drop(host, rule, at="output"):
    host.nft(f"table inet wall {{\nchain c {{\ntype filter hook {at} priority 10; policy accept;\n{rule} drop\n}}\n}}")


@scenario
def an_exit_is_used_once_a_packet_has_gone_by_it(lab):
    """Before a packet it is in place; after one it is used; a new rule of the host makes it in place again, and a packet
    that the rule drops makes it dropped: in status, exit and JSON alike. The next packet after the rule proves it anew."""
    _, _, alice, exit_, web = world(lab)
    drop(alice, f'oifname "{alice.tun}" ip daddr != {exit_.addr()}/16')
    use(alice)
    wait("the exit to answer", lambda: exit_of(alice)["works"])
    row = default4(alice)
    equal((row["state"], row["why"]), ("ready", IN_PLACE), "before a packet")
    check(not exit_of(alice)["used"], exit_of(alice))
    out = alice.ctl("status").out
    check("which packets of this machine do not go by" in out, f"status: {out}")
    check("this machine drops what programs send to the internet by the exit" in " ".join(out.split()), f"status: {out}")
    equal(default4(alice)["state"], "dropped", "the state after a packet was lost")
    check("dropped" in alice.ctl("exit").out and "dropped" in alice.ctl("route").out, "exit and route")
    equal(alice.json("status")["routes"]["exit"]["dropped"], True, "status --json")
    alice.run("nft", "delete", "table", "inet", "wall")
    wait("the loss to count no longer", lambda: not exit_of(alice)["dropped"])
    through(alice, exit_, web)
    wait("packets to count", lambda: exit_of(alice)["used"])
    equal(default4(alice)["why"], "packets go by exit", "after packets")
    out = alice.ctl("status").out
    check("which packets" not in out and IN_PLACE not in out, f"status: {out}")
    alice.ip("rule add from 198.51.100.77 lookup main priority 99")
    wait("earlier packets to prove nothing", lambda: IN_PLACE in default4(alice)["why"])
    out = alice.ctl("exit").out
    check(out.count("used") == 2 and IN_PLACE not in out, f"exit, which sends a packet: {out}")
    equal(default4(alice)["state"], "used", "after that packet")


def said_of(host, *args):
    return " ".join(host.ctl(*args, check_rc=False).out.split())


@scenario
def a_rule_about_one_user_is_told_to_that_user(lab):
    """A rule leads one user's packets past the exit: that user hears so by status and exit, and root's stay used."""
    _, _, alice, exit_, web = world(lab)
    use(alice)
    through(alice, exit_, web)
    alice.ip(f"route add default via {alice.lan.subnet4}.1 table 77", "rule add uidrange 1234-1234 lookup 77 priority 77")
    group = alice.run("sh", "-c", "getent group p2pvpn | cut -d: -f3").out.strip()
    check("which packets of this machine do not go by" not in said_of(alice, "status"), "root's packets")
    user = ("setpriv", "--reuid", "1234", "--groups", group, lab.bin("p2pvpnctl"))
    for command in ("status", "exit"):
        out = alice.run(*user, command, check_rc=False).out
        check("which packets of this machine do not go by" in out, f"{command} of the user: {out}")
    alice.ip("rule del priority 77")
    wait("the exit to be used again", lambda: "packets go by exit" in said_of(alice, "exit"))


@scenario
def a_filter_by_mark_is_not_blamed_on_the_member(lab):
    """A filter of this host drops all into the interface that has no mark: why blames no firewall of the other machine."""
    _, _, alice, exit_, web = world(lab)
    use(alice)
    through(alice, exit_, web)
    drop(alice, f'oifname "{alice.tun}" meta mark != 0x5', at="output")
    out = said_of(alice, "status")
    check("which packets of this machine do not go by" in out and
          "drops what programs send to the internet by the exit over IPv4" in out, f"status: {out}")
    out = said_of(alice, "why", "exit")
    check("this machine drops the answers to exit" in out and "its kernel" not in out, f"why: {out}")
    out = said_of(alice, "doctor")
    check("(table inet wall, chain c) drops" in out and "`sudo p2pvpnctl doctor`" not in out, f"doctor: {out}")


@scenario
def a_route_that_refuses_members_is_named(lab):
    """A rule before main looks into a table that says unreachable: status, why and doctor name both, and the remedy ends
    it. The same of the internet by the exit."""
    _, _, alice, exit_, web = world(lab)
    use(alice)
    through(alice, exit_, web)
    alice.ip("route add unreachable 10.66.0.0/16 table 99", "rule add to 10.66.0.0/16 lookup 99 priority 50")
    words = "programs' packets to 10.66.0.0/16 are refused: rule 50 looks into table 99"
    wait("status to name the rule", lambda: words in said_of(alice, "status"))
    check(words in said_of(alice, "why", "exit"), said_of(alice, "why", "exit"))
    out = said_of(alice, "doctor")
    check(words in out, f"doctor: {out}")
    todo = next(x for x in said_of(alice, "status", "-l").split("`") if x.startswith("sudo ip "))
    alice.run(*todo.split()[1:])
    wait("the remedy to end it", lambda: words not in said_of(alice, "status"))
    check(alice.os_ping(exit_.addr()), "members are not reached after the remedy")
    alice.ip("route add prohibit 198.41.0.0/16 table 98", "rule add lookup 98 priority 51")
    wait("status to name that rule", lambda: "the internet are refused: rule 51 looks into table 98" in said_of(alice, "status"))
    check(", which packets of this machine do not go by" in said_of(alice, "exit"), said_of(alice, "exit"))
    alice.ip("rule del priority 51")
    wait("it to be forgotten", lambda: "are refused" not in said_of(alice, "status"))
