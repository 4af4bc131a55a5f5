# SPDX-License-Identifier: MIT
"""doctor and bugreport on real machines."""
from lab import check, equal, scenario, wait

REPORT = "/run/report"


@scenario
def no_secret_is_in_a_bugreport(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.configure("# password = opensesame\n")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    token = a.ctl("invite").out.strip()
    a.ctl("send", "b", "between us")
    url = coordinator.url()
    secrets = [token, token.rsplit("/", 1)[-1], "between us", "opensesame",
               url.rsplit("/", 1)[-1].rsplit("#", 1)[-1]]
    for name in ("identity.key", "transport.key", "root.key"):
        secrets.append(a.run("cat", f"/var/lib/p2pvpn/{name}").out.strip())
    for flags in ((), ("--redact",)):
        a.ctl("bugreport", "-o", REPORT, *flags)
        text = a.run("cat", REPORT).out
        equal(a.run("stat", "-c", "%a", REPORT).out.strip(), "600", "mode of the report")
        a.run("rm", REPORT)
        for part in ("versions", "status", "peers", "why, peer 1", "trace, peer 1", "metrics",
                     "configuration"):
            check(f"== {part}\n" in text, f"{part} is missing")
        for secret in secrets:
            check(len(secret) > 8 and secret not in text, f"{secret} is in the report")
        if flags:
            for name in (a.addr(), a.addr(b), a.ip4, b.ip4, '"a"', '"b"'):
                check(str(name) not in text, f"{name} is in a redacted report")


@scenario
def doctor_is_content_with_a_node_that_works(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.run("sh", "-c", "echo 'hosts: files p2pvpn dns' >/etc/p2pvpn/nsswitch;"
          "mount --bind /etc/p2pvpn/nsswitch /etc/nsswitch.conf")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    wait("doctor to say that all is well",
         lambda: a.ctl("doctor", check_rc=False).code == 0, timeout=20)
    out = a.ctl("doctor").out
    for name in ("tun", "disk", "names", "group", "daemon", "versions", "rights", "network", "interface", "mtu",
                 "coordinator", "udp", "nat", "port mapping", "clock"):
        check(f"\nok   {name} " in "\n" + out, f"{name} is not looked at, or not well: {out}")
    equal(a.run(*a.as_user(), lab.bin("p2pvpnctl"), "doctor", check_rc=False).code, 0, "exit code for alice")
    stranger = ["setpriv", "--reuid=1972", "--regid=1972", "--clear-groups", "--"]
    r = a.run(*stranger, lab.bin("p2pvpnctl"), "doctor", check_rc=False)
    check(r.code != 0 and 'usermod -aG p2pvpn "$USER"' in r.out, f"a user who may not: {r}")
    a.ctl("down")
    r = a.ctl("doctor", check_rc=False)
    equal(r.code, 1, "exit code of doctor on a machine that is down")
    check("to do: p2pvpnctl up" in r.out, r.out)
