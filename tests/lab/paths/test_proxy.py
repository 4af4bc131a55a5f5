# SPDX-License-Identifier: MIT
"""Networks with an HTTP proxy as their way out: control and relay go through CONNECT, and what the proxy says is told.

`# remedy: NAME` names the line of the table that the scenario carries out.
"""
import json

from lab import SLOW, Coordinator, check, equal, scenario, wait
from proxylab import Proxy, office
from remedylab import gone, problem, reload_with, remedy_of
from turnlab import by, send_file


class Named(Coordinator):
    """A coordinator that is known by a name."""

    def public(self):
        return "coord.example"


def proxy_of(host):
    return (host.json("status")["coordinator"] or {}).get("proxy") or {}


def connected(host, timeout=60):
    wait(f"{host.name} to be connected", lambda: (host.json("status")["coordinator"] or {}).get("connected"), timeout)


def through(host):
    """It is connected by the proxy, which says so."""
    connected(host)
    equal(proxy_of(host)["state"], "open", f"what {host.name} knows of its proxy")


def everything_goes_through(lab, family, start):
    """Root's p2pvpnd by its configuration, a user's by the environment; a third member is outside."""
    v4 = family == 4
    coordinator = Coordinator(lab, lab.host("coord", ipv4=v4, ipv6=not v4),
                              args=["--tls-listen", "0.0.0.0:443" if v4 else "[::]:443"])
    lan = office(lab)
    proxy = Proxy(lab, lan, family=family)
    start(proxy)
    a, b = (lab.host(n, lan, ipv4=v4, ipv6=not v4) for n in "ab")
    c = lab.host("c", ipv4=v4, ipv6=not v4)
    b.without_root()
    a.configure(proxy.conf())
    a.daemon()
    b.daemon(env={"https_proxy": proxy.url, "HTTPS_PROXY": "http://192.0.2.1:1", "no_proxy": "localhost,.example"})
    c.daemon()
    a.create(coordinator.url())
    for h in (b, c):
        h.join(a.ctl("invite").out.strip())
    for h in (a, b):
        through(h)
        equal(proxy_of(h)["address"], proxy.at, f"the proxy of {h.name}")
        wait(f"{h.name} to use TLS", lambda h=h: by(h, "tls"))
    equal(proxy_of(c), {}, "the proxy of c")
    for one, other in ((a, c), (b, c), (c, a)):
        one.wait_peer(other)
        check(one.os_ping(other.addr(), timeout=10), f"{one.name} does not reach {other.name}")
    a.wait_direct(b)  # in one LAN, whatever gets out of it
    check("everything goes through TLS on 443, through the HTTP proxy" in a.ctl("why", "c", "-l").out,
          a.ctl("why", "c", "-l").out)
    if v4:  # by IPv6 the relay's datagrams to c hold less, which a learns by its own datagrams alone
        send_file(a, c, 2 << 20)
    for h in (a, b):
        checks = {k["name"]: k for k in json.loads(h.ctl("doctor", "--json", check_rc=False).out)["checks"]}
        check(checks["proxy"]["well"] and checks["coordinator"]["well"], checks["proxy"])
    proxy.end()  # it dies, and its connections with it
    for h in (a, b):
        wait(f"{h.name} to miss its proxy", lambda h=h: proxy_of(h)["state"] == "down")
        check(f"the HTTP proxy {proxy.at} is not reached" in problem(h, "cannot reach the coordinator"),
              h.json("status")["problems"])
        equal(remedy_of(h, "cannot reach the coordinator"), "proxy_start", "the remedy of a proxy that is off")
    start(proxy)  # remedy: proxy_start
    for h in (a, b):
        gone(h, "cannot reach the coordinator")
        through(h)
    wait("a to reach c again", lambda: a.os_ping(c.addr(), timeout=5))


@scenario
def squid_lets_everything_through_by_ipv4(lab):
    """Only to port 443, as Debian's configuration has it; the coordinator's URL names another."""
    everything_goes_through(lab, 4, lambda proxy: proxy.squid())


@scenario
def tinyproxy_lets_everything_through_by_ipv6(lab):
    """Only to port 443."""
    everything_goes_through(lab, 6, lambda proxy: proxy.tinyproxy("ConnectPort 443"))


def secret_is_nowhere(host, *secrets):
    """Neither in a log nor in what users send to others."""
    report = host.ctl("bugreport", "--file", "-", check_rc=False).out
    texts = [report, host.p2pvpnd.text(), host.ctl("status", "--json").out, host.ctl("doctor", check_rc=False).out]
    for secret in secrets:
        for text in texts:
            check(secret not in text, f"{secret} stands in: {text[:2000]}")


@scenario
def a_proxy_that_wants_a_password(lab):
    """Without one, with a wrong one, with the right one, from a file and from the environment; squid and tinyproxy."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    lan = office(lab)
    squid, tiny = Proxy(lab, lan, "squid"), Proxy(lab, lan, "tiny")
    squid.squid(login="joe:opensesame")
    tiny.tinyproxy("BasicAuth joe opensesame")
    a, b = lab.host("a", lan), lab.host("b", lan)
    b.without_root()
    a.configure(squid.conf())
    a.daemon()
    r = a.ctl("create", coordinator.url(), "--name", "a", check_rc=False, timeout=60)
    equal(r.code, 9, "exit code of create")
    check("wants a user and a password (it answers 407)" in r.err and "proxy-password-file" in r.err, r.err)
    a.run("sh", "-ec", "umask 077; echo wrongsesame >/etc/p2pvpn/wrong; echo opensesame >/etc/p2pvpn/right; chown p2pvpn /etc/p2pvpn/wrong /etc/p2pvpn/right")
    login = ("proxy-user = joe", "proxy-password-file = /etc/p2pvpn/right")
    wrong = ("proxy-user = joe", "proxy-password-file = /etc/p2pvpn/wrong")
    reload_with(a, squid.conf(*login))  # remedy: proxy_login
    a.create(coordinator.url())
    through(a)
    reload_with(a, squid.conf(*wrong))
    check("refuses this user or this password" in problem(a, "cannot reach the coordinator"), a.json("status")["problems"])
    equal(remedy_of(a, "cannot reach the coordinator"), "proxy_login_again", "the remedy of a wrong password")
    check("refuses this user" in a.ctl("doctor", check_rc=False).out, "doctor does not say so")
    secret_is_nowhere(a, "sesame", "am9lO")
    reload_with(a, squid.conf())
    said = problem(a, "wants a user and a password")
    check("set proxy-user and proxy-password-file" in said, said)
    equal(remedy_of(a, "cannot reach the coordinator"), "proxy_login", "the remedy of no password")
    for proxy in (tiny, squid):
        reload_with(a, proxy.conf(*login))  # remedy: proxy_login_again
        gone(a, "cannot reach the coordinator")
        through(a)
        secret_is_nowhere(a, "sesame", "am9lO")
    env = {"https_proxy": f"http://joe:open%73esame@{squid.at}"}
    b.daemon(env=env)
    b.join(a.ctl("invite").out.strip())
    through(b)
    secret_is_nowhere(b, "sesame", "am9lO", "%73e")


def look_again(host):
    """A change of its network is a reason to try at once."""
    host.run("ip", "addr", "add", "192.0.2.77/32", "dev", "lo")
    host.run("ip", "addr", "del", "192.0.2.77/32", "dev", "lo")


@scenario
def a_proxy_with_each_fault(lab):
    """Each fault is told within the time of an attempt, and all is well when the proxy works again."""
    coordinator = Coordinator(lab, lab.host("coord"))
    lan = office(lab)
    proxy = Proxy(lab, lan)
    proxy.fake()
    a, b = lab.host("a", lan), lab.host("b")
    a.configure(proxy.conf())
    lab.network(coordinator, [a, b])
    through(a)
    at = f"{coordinator.host.ip4}:3478"
    faults = [
        ("refuse403", "refused", f"does not allow connections to {at} (it answers 403)", "proxy_allow"),
        ("refuse405", "refused", f"does not allow connections to {at} (it answers 405)", "proxy_allow"),
        ("refuse502", "unreached", f"does not reach {at} (it answers 502)", "proxy_reach"),
        ("ntlm", "scheme", "wants a login, and not by Basic (it answers 407)", "proxy_basic"),
        ("hello", "strange", "does not answer as an HTTP proxy does", "proxy_correct"),
        ("huge", "strange", "does not answer as an HTTP proxy does", "proxy_correct"),
        ("close", "closed", "closes the connection without an answer", "proxy_start"),
        ("half", "closed", "closes the connection without an answer", "proxy_start"),
        ("stall", "silent", "took the connection and does not answer", "proxy_start"),
        ("stallhalf", "silent", "took the connection and does not answer", "proxy_start"),
        ("drip", "silent", "took the connection and does not answer", "proxy_start"),
    ]
    for mode, state, text, remedy in faults:
        proxy.does(mode)
        a.restart_daemon()
        wait(f"a to find out that its proxy does {mode}", lambda state=state: proxy_of(a).get("state") == state)
        wait(f"the problem of {mode}", lambda text=text: any(text in p for p in a.json("status")["problems"]))
        equal(remedy_of(a, "cannot reach the coordinator"), remedy, f"the remedy of {mode}")
        said = a.ctl("doctor", check_rc=False).out
        check(text in said and "cannot reach" not in said, said)
        found = json.loads(a.ctl("why", "b", "--json", check_rc=False).out)
        check(text in found["cause"] and found["remedy"] == remedy, found)
        # Its operator has mended it. remedy: proxy_basic
        proxy.does("open")  # remedy: proxy_reach
        look_again(a)
        gone(a, "cannot reach the coordinator")
        through(a)
    proxy.does("cut")  # it says yes, and the way leads nowhere
    a.restart_daemon()
    said = problem(a, "cannot reach the coordinator")
    check("closes the connection without an answer" in said and "(tried" in said, said)
    equal(proxy_of(a)["state"], "open", "a proxy that opens ways that end")
    proxy.does("open")
    look_again(a)
    gone(a, "cannot reach the coordinator")
    wait("a to reach b", lambda: a.os_ping(b.addr(), timeout=5))


@scenario
def port_443_alone_and_a_coordinator_elsewhere(lab):
    """The remedy names the port, and the coordinator's operator opens it."""
    coordinator = Coordinator(lab, lab.host("coord"))
    lan = office(lab)
    proxy = Proxy(lab, lan)
    proxy.squid()
    a = lab.host("a", lan)
    a.configure(proxy.conf())
    a.daemon()
    r = a.ctl("create", coordinator.url(), "--name", "a", check_rc=False, timeout=60)
    equal(r.code, 9, "exit code of create")
    check(f"does not allow connections to {coordinator.host.ip4}:3478 (it answers 403)" in r.err, r.err)
    check("443" in r.err and "tls-listen" in r.err, r.err)
    coordinator.end()
    coordinator.args = ["--tls-listen", "0.0.0.0:443"]
    coordinator.start()  # remedy: proxy_allow
    a.create(coordinator.url())
    through(a)


@scenario
def only_the_proxy_knows_the_name(lab):
    """No name server answers in the office: the proxy looks the coordinator's name up, and the relay needs no address."""
    host = lab.host("coord")
    coordinator = Named(lab, host, args=["--tls-listen", "0.0.0.0:443"])
    lan = office(lab)
    proxy = Proxy(lab, lan)
    outside = lab.host("c")
    for h in (proxy.host, outside, host):
        h.run("sh", "-ec", "cat >/run/hosts; mount --bind /run/hosts /etc/hosts",
              stdin=f"127.0.0.1 localhost\n{host.ip4} coord.example\n")
    proxy.squid()
    a, b = lab.host("a", lan), lab.host("b", lan)
    for h in (a, b):
        h.configure(proxy.conf())
    lab.network(coordinator, [a, b, outside])
    for h in (a, b):
        through(h)
    a.wait_peer(outside)
    check(a.os_ping(a.addr(outside), timeout=20), "a does not reach c")
    check(outside.os_ping(outside.addr(b), timeout=20), "c does not reach b")
    reload_with(a, "[coordinator]\nproxy = http://nowhere.example:3128\n")
    check("is not found: its name has no address" in problem(a, "cannot reach the coordinator"),
          a.json("status")["problems"])
    equal(remedy_of(a, "cannot reach the coordinator"), "proxy_correct", "the remedy of a wrong name")
    reload_with(a, proxy.conf())  # remedy: proxy_correct
    gone(a, "cannot reach the coordinator")


@scenario
def udp_goes_directly_beside_a_proxy(lab):
    """Where UDP gets out paths are direct, and the relay is not needed; only TCP needs the proxy."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    lan = office(lab, udp=True)
    proxy = Proxy(lab, lan)
    proxy.squid()
    a, b = lab.host("a", lan), lab.host("b")
    a.configure(proxy.conf())
    lab.network(coordinator, [a, b])
    through(a)
    a.wait_direct(b)
    equal(a.json("status")["udp"], "open", "what status says of UDP")
    wait("a to use UDP to the relay", lambda: by(a, "udp"))


@scenario
def an_exit_leaves_the_proxy_where_it_is(lab):
    """Everything of this machine goes by the exit, but the way to the coordinator, and so to the exit, by the proxy."""
    coordinator = Coordinator(lab, lab.host("coord"), args=["--tls-listen", "0.0.0.0:443"])
    lan = office(lab)
    proxy = Proxy(lab, lan)
    proxy.squid()
    outer = lab.masquerade("outer", drop_input=True, ipv6=True)
    a, x = lab.host("a", lan), lab.host("x", outer)
    a.configure(proxy.conf())
    lab.network(coordinator, [x, a])
    x.ctl("exit", "offer")
    x.ctl("route", "allow", "x", "default")
    through(a)
    a.wait_peer(x)
    wait("the exit to be allowed", lambda: a.ctl("exit", "use", "x", check_rc=False).code == 0)
    seen = lab.host("web")
    echo = seen.answer_udp(7777)
    wait("packets to go by the exit", lambda: (a.udp_ask(seen.ip4, 7777) or "").startswith(outer.public))
    echo.must_run()
    proxy.end()
    wait("a to miss its proxy", lambda: proxy_of(a)["state"] == "down", 90)
    proxy.squid()
    connected(a, 90 * SLOW)
    wait("packets to go by the exit again", lambda: (a.udp_ask(seen.ip4, 7777) or "").startswith(outer.public), 90)
