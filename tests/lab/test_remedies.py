# SPDX-License-Identifier: MIT
"""Whoever types one of the commands by which networks live for years in the wrong place, at the wrong
moment or without the right to it reads what to do instead."""
import re

from lab import check, equal, scenario, wait

KEY = "A" * 43
# What each command is, about somebody who is there (PEER) or not; URL is a coordinator's.
ABOUT_PEERS = (
    "admin grant PEER", "admin revoke PEER", "admit PEER", "deny PEER", "remove PEER", "rename PEER zoe",
    "address set PEER 10.66.0.99", "node replace PEER zoe")
BY_ADMINS = (
    "invite", "invite --admin", "invite --member-for 90d", "invite --approve", f"invite revoke {KEY}",
    "network coordinators add URL", "network coordinators remove 198.51.100.99",
    "network coordinators address 198.51.100.99:3478")
BY_ANYBODY = (
    "invite list", "rename zoe", "address set 10.66.0.99", "key rotate", "network coordinators",
    "network coordinators token", "leave")
WRONG = (
    "admin", "admin grant", "admin crown zed", "admit", "deny", "remove", "rename", "rename a b c", "address",
    "address set", "address set a 10.66.0.9 b", "node", "node replace a", "node swap a b", "key", "key turn",
    "network", "network routers", "network coordinators move", "network coordinators add", "root", "root burn",
    "root import", "invite --member-for soon", "invite --member-for 0", "invite revoke", "leave now", "networks all")


def says(host, command, code, *words, peer="zed", url="p2pvpn://none"):
    """One error, with this exit code, that names the remedy."""
    r = host.ctl(*command.replace("PEER", peer).replace("URL", url).split(), check_rc=False, stdin="")
    equal(r.code, code, f"exit code of {r}")
    check(len(r.err.strip().splitlines()) == 1, f"not one line: {r}")
    for word in words:
        check(re.search(word, r.err), f"{word!r} is not in {r}")


@scenario
def who_is_in_no_network_or_mistypes(lab):
    url = lab.coordinator().url()
    a = lab.host("a")
    for command in sorted({c.split()[0] for c in ABOUT_PEERS + BY_ADMINS + BY_ANYBODY} | {"root", "networks"}):
        r = a.ctl(command, "-h", code=0)
        check(f"p2pvpnctl {command}" in r.out, f"no help: {r}")
        says(a, f"{command} --nonsense", 2, "--nonsense", f"see p2pvpnctl {command} -h")
    for command in WRONG:
        says(a, command, 2, f"see p2pvpnctl {command.split()[0]} -h")
    for command in ABOUT_PEERS + BY_ADMINS + BY_ANYBODY:
        says(a, command, 8, "sudo p2pvpnctl up", url=url)
    a.daemon()
    for command in ABOUT_PEERS + BY_ADMINS + BY_ANYBODY:
        says(a, command, 4, "p2pvpnctl join TOKEN", url=url)
    says(a, "root import /nowhere", 1, "is the path right")
    says(a, "root export", 2, "--passphrase-file")


@scenario
def who_may_not_or_reaches_nobody(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b, c])
    b.wait_peer(c)
    url = coordinator.url()
    for command in BY_ADMINS + tuple(x for x in ABOUT_PEERS if not x.startswith(("admit", "deny"))):
        says(b, command, 11, "ask one who is|root key", peer="c", url=url)
    for host in (a, b):
        for command in ABOUT_PEERS:
            says(host, command, 6, "p2pvpnctl peers")
    says(a, "admit b", 6, "is a member already", "p2pvpnctl remove b")
    coordinator.end()
    wait("a to miss the coordinator", lambda: a.ctl("invite", check_rc=False).code == 9, timeout=40)
    says(a, "invite", 9, "try again when it is back")
    for command in ABOUT_PEERS:
        says(a, command, 6, "p2pvpnctl peers")
    says(a, "rename b bert", 9, "is told when it is back")
    says(a, "admin grant bert", 9, "is told when it is back")
