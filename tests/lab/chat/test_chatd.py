# SPDX-License-Identifier: MIT
"""p2pvpn-chatd is a process of its own: what is wrong with it stays there, and no line is lost or doubled."""
import os
import signal
import sys

from chatlab import chatd
from lab import check, equal, scenario, wait

IMPOSTOR = os.path.join(os.path.dirname(__file__), "..", "programs", "chatimpostor.py")


def start(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.wait_peer(a)
    wait("chat to answer", lambda: all(h.ctl("inbox", check_rc=False).code == 0 for h in (a, b)))
    return coordinator, a, b


def texts(host, *args):
    return [m["text"] for m in host.json("history", *args)["messages"]]


def said(host):
    return [p["text"] if isinstance(p, dict) else p for p in host.json("status")["problems"]]


@scenario
def killed_again_and_again(lab):
    _, a, b = start(lab)
    before = a.p2pvpnd.pid
    ping = a.start("ping", "-n", "-i", "0.01", "-q", str(a.addr(b)), name="ping")
    lines = []
    for i in range(5):
        pid = chatd(a)
        os.kill(pid, signal.SIGKILL)
        wait("another one", lambda pid=pid: chatd(a) not in (None, pid), 90)
        wait("it to take a line", lambda i=i: a.ctl("send", "b", f"line {i}", check_rc=False).code == 0, 60)
        lines.append(f"line {i}")
    wait("all of them", lambda: len(texts(b)) >= len(lines), 60)
    equal(texts(b), lines, "what b has, once each and in order")
    ping.end(signal.SIGINT)
    check(" 0% packet loss" in ping.text(), ping.text())
    equal(a.p2pvpnd.pid, before, "p2pvpnd")


@scenario
def a_hundred_restarts_cost_the_network_nothing(lab):
    """ping and a TCP stream go on; each line that was taken arrives once and in order, whatever ended chat."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.flags = ["--no-chatd"]
    chat = a.start(lab.bin("p2pvpn-chatd"), name="chatd")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    address = str(a.addr(b))
    b.start("iperf3", "-s", "-1", "-B", address, name="iperf3-server")
    wait("iperf3 to listen", lambda: b.listens(5201))
    flow = a.start("iperf3", "-J", "-t", "3600", "-b", "2M", "-c", address, name="iperf3")
    ping = a.start("ping", "-n", "-i", "0.01", "-q", address, name="ping")
    before, taken = a.p2pvpnd.pid, []
    for i in range(100):
        wait("it to take a line", lambda i=i: a.ctl("send", "b", f"line {i}", check_rc=False).code == 0)
        taken.append(f"line {i}")
        chat.end(signal.SIGKILL if i % 2 else signal.SIGTERM)
        chat = a.start(lab.bin("p2pvpn-chatd"), name="chatd")
    wait("all of them", lambda: len(texts(b, "-n", "200")) >= len(taken), 60)
    equal(texts(b, "-n", "200"), taken, "what b has, once each and in order")
    ping.end(signal.SIGINT)
    check(" 0% packet loss" in ping.text(), ping.text())
    check(flow.popen.poll() is None, f"the stream broke: {flow.text()}")
    flow.end(signal.SIGINT)
    equal(a.p2pvpnd.pid, before, "p2pvpnd")


@scenario
def stopped_it_holds_nobody_up(lab):
    _, a, b = start(lab)
    pid = chatd(a)
    os.kill(pid, signal.SIGSTOP)
    check(a.os_ping(a.addr(b), count=3, timeout=2), "the network stands")
    wait("status to say so", lambda: any("does not answer" in t for t in said(a)), 30)
    b.ctl("send", "a", "while it is stopped")
    equal(a.ctl("peers", check_rc=False).code, 0, "other commands")
    os.kill(pid, signal.SIGCONT)
    wait("the line", lambda: texts(a) == ["while it is stopped"], 90)
    wait("status to be well", lambda: not any("p2pvpn-chatd" in t for t in said(a)), 60)
    a.ctl("send", "b", "after")
    wait("b to have it", lambda: texts(b)[-1:] == ["after"], 60)


@scenario
def without_p2pvpnd_it_keeps_what_is_typed(lab):
    """As under a service manager: each is started by itself."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.flags = ["--no-chatd"]
    chat = a.start(lab.bin("p2pvpn-chatd"), name="chatd")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    wait("chat to answer", lambda: a.ctl("inbox", check_rc=False).code == 0)
    a.ctl("send", "b", "first")
    wait("b to have it", lambda: texts(b) == ["first"], 60)
    a.stop_daemon(signal.SIGKILL)
    wait("it to be missed", lambda: a.ctl("status", check_rc=False).code == 8)
    wait("a line to be taken", lambda: a.ctl("send", "b", "typed meanwhile", check_rc=False).code == 0, 30)
    equal(texts(b), ["first"], "what b has meanwhile")
    a.daemon()
    wait("b to have it", lambda: texts(b) == ["first", "typed meanwhile"], 90)
    chat.end()
    wait("status to say so", lambda: any("has not been running" in t for t in said(a)), 30)
    check(a.os_ping(a.addr(b), timeout=2), "the network stands")
    r = a.ctl("send", "b", "nobody takes it", check_rc=False)
    check(r.code == 8 and "p2pvpn-chatd is not running" in r.err, str(r))  # remedy: start_chat
    chat = a.start(lab.bin("p2pvpn-chatd"), name="chatd")
    wait("a line to be taken", lambda: a.ctl("send", "b", "last", check_rc=False).code == 0, 30)
    wait("b to have it", lambda: texts(b)[-1] == "last", 60)
    os.kill(chat.pid, signal.SIGSTOP)
    wait("status to say that it hangs", lambda: any("does not answer" in t for t in said(a)), 30)
    chat.end(signal.SIGKILL)  # remedy: restart_chat
    chat = a.start(lab.bin("p2pvpn-chatd"), name="chatd")
    wait("status to be well", lambda: not any("p2pvpn-chatd" in t for t in said(a)), 60)


@scenario
def one_that_was_taken_over_gets_nothing_else(lab):
    """A program in its place, with its user: whatever it sends, p2pvpnd stays, and tells it no key but those of pairs."""
    _, a, b = start(lab)
    status = f"/proc/{chatd(a)}/status"
    with open(status, encoding="utf-8") as f:
        uid = next(line.split()[1] for line in f if line.startswith("Uid:"))
    a.stop_daemon()
    a.flags = ["--no-chatd"]
    a.daemon()
    a.wait_peer(b)
    secrets = a.run("sh", "-c", "cat /var/lib/p2pvpn/identity.key /var/lib/p2pvpn/transport.key | od -An -v -tx1 | tr -d ' \\n'")
    before = a.p2pvpnd.pid
    as_chat = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    r = a.run(*as_chat, sys.executable, IMPOSTOR, "/run/p2pvpn/p2pvpnd.node", stdin=secrets.out,
              timeout=120)
    check("refused all" in r.out, r.out)
    equal(a.p2pvpnd.pid, before, "p2pvpnd")
    a.p2pvpnd.must_run()
    check(a.os_ping(a.addr(b), timeout=2), "the network stands")
    for path in ("/var/lib/p2pvpn/identity.key", "/var/lib/p2pvpn/p2pvpnd.db", "/dev/net/tun"):
        if path != "/dev/net/tun":
            check(a.run(*as_chat, "cat", path, check_rc=False).code != 0, f"{path} is open to chat's user")
    # A user who is not chat's gets no word.
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    r = a.run(*nobody, sys.executable, IMPOSTOR, "/run/p2pvpn/p2pvpnd.node", "nobody", check_rc=False)
    check("sent away" in r.out, f"{r}")


@scenario
def a_starter_without_a_program_ends(lab):
    """It has root's rights, and would run whatever a captured p2pvpnd told it."""
    a = lab.host("a")
    a.run("sh", "-c", f"mkdir /run/alone && cp -L {lab.bin('p2pvpnd')} /run/alone/p2pvpnd")
    a.p2pvpnd = a.start("/run/alone/p2pvpnd", name="p2pvpnd")
    wait("it to be ready", lambda: "ready:" in a.p2pvpnd.text())
    names = [open(f"/proc/{pid}/comm", encoding="utf-8").read().strip()
             for pid in a.run("sh", "-c", f"cat /proc/{a.p2pvpnd.pid}/task/*/children").out.split()]
    check(names and "pv-chat-start" not in names, f"what p2pvpnd has beside it: {names}")
