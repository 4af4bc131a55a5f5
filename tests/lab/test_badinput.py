# SPDX-License-Identifier: MIT
"""Bad input and bad machines: a clear error, the right exit code, nothing lost (DESIGN 10)."""
import os
import re
import shutil

from lab import check, equal, scenario, wait

LIAR = os.path.join(os.path.dirname(__file__), "programs", "liar.py")


def refused(result, code, *words):
    """One line on standard error: what, why; with the words; and that exit code."""
    equal(result.code, code, f"exit code of {result}")
    text = result.err.strip()
    check(text, f"no message: {result}")
    for word in words:
        check(re.search(word, text, re.IGNORECASE), f"{word!r} is not in {result}")
    check("Sanitizer" not in text, text)


@scenario
def flags(lab):
    h = lab.host("h")
    for program in ("p2pvpnd", "p2pvpn-coordinator", "p2pvpnctl"):
        refused(h.run(lab.bin(program), "--no-such-flag", check_rc=False), 2, "no-such-flag")
        r = h.run(lab.bin(program), "--version", check_rc=False) if program != "p2pvpnctl" else \
            h.run(lab.bin(program), "--help", check_rc=False)
        equal(r.code, 0, f"exit code of {r}")
    refused(h.run(lab.bin("p2pvpnd"), "--port", "70000", check_rc=False), 2, "70000")
    refused(h.run(lab.bin("p2pvpnd"), "--port", check_rc=False), 2)
    refused(h.run(lab.bin("p2pvpnd"), "stray", check_rc=False), 2, "stray")
    refused(h.run(lab.bin("p2pvpnd"), "--tun", "a-name-that-is-too-long", check_rc=False), 2)
    refused(h.run(lab.bin("p2pvpn-coordinator"), "--listen", "nowhere", check_rc=False), 2,
            "nowhere")
    refused(h.run(lab.bin("p2pvpn-coordinator"), "--public", "1.2.3", check_rc=False), 2)
    for args, code in ((("dance",), 2), (("ping",), 2), (("ping", "x", "-c", "0"), 2),
                       (("ping", "x", "-c", "many"), 2), (("invite", "--uses", "0"), 2),
                       (("invite", "--expires", "soon"), 2), (("send", "x"), 2),
                       (("--timeout", "-1", "peers"), 2), (("log", "louder"), 2)):
        r = h.ctl(*args, check_rc=False)
        refused(r, code)
    check("Get started" in h.ctl(code=2).out, "p2pvpnctl alone does not say what there is")
    written = h.run("find", "/var/lib", "/run/p2pvpn", "-mindepth", "1", check_rc=False).out
    equal(written, "", "what was written")


CONFIGS = (
    ("[interface]\nmtu = 1420\nunknown = 1\n", 3, "unknown"),
    ("[interface]\nport = 99999\n", 2, "port"),
    ("[nowhere]\na = b\n", 1, "nowhere"),
    ("[peer x]\npublic-key = short\n", 2, "public-key"),
    ("[peer x]\nallowed-ips = 10.0.0.1/33\n", 2, "allowed-ips"),
    ("[interface]\nthis is no line\n", 2, ""),
    ("[interface]\naddress = " + "1" * 5000 + "\n", 2, ""),
    ("[interface]\nmtu = 1420\0\n", 2, ""),
    ("[log]\nlevel = shouting\n", 2, "level"),
)


@scenario
def configurations(lab):
    h = lab.host("h")
    for text, line, word in CONFIGS:
        h.run("sh", "-c", "cat >/run/bad.conf", stdin=text)
        for extra in ([], ["--check"]):
            r = h.run(lab.bin("p2pvpnd"), "--config", "/run/bad.conf", *extra, check_rc=False)
            refused(r, 2, "bad.conf", word)
            check(re.search(rf"bad\.conf:{line}\b", r.err), f"line {line} is not named: {r}")
    for text in ("[coordinator]\nlisten = here\n", "[coordinator]\nx = y\n", "[relay\n"):
        h.run("sh", "-c", "cat >/run/bad.conf", stdin=text)
        r = h.run(lab.bin("p2pvpn-coordinator"), "--config", "/run/bad.conf", check_rc=False)
        refused(r, 2, r"bad\.conf:\d")
    r = h.run(lab.bin("p2pvpnd"), "--config", "/run/not-there.conf", check_rc=False)
    check(r.code != 0, "a configuration that is not there")
    refused(r, r.code, "not-there.conf")
    h.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin="[interface]\nprot = 1\n")
    told = h.ctl("doctor", "-l", code=1).out
    check("p2pvpnd.conf:2: unknown key prot" in told and "mend that" in told, f"doctor goes round in a circle: {told}")
    h.run("rm", "/etc/p2pvpn/p2pvpnd.conf")
    h.run("sh", "-c", "cat >/run/good.conf", stdin="[interface]\nmtu = 1400\n")
    equal(h.run(lab.bin("p2pvpnd"), "--config", "/run/good.conf", "--check").code, 0, "--check")
    check(h.run("ls", "/var/lib").out.strip() == "", "something was written")
    # The longest of these explanations is said whole: its last words are part of the remedy.
    h.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin="[intreface]\n")
    for r in (h.ctl("up", code=8), h.ctl("doctor", "-l", code=1)):
        check("[firewall] and [log]" in r.out + r.err, f"the reason is cut: {r}")


@scenario
def tokens_urls_and_peers(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.ctl("peers", code=8)
    a.daemon()
    b.daemon()
    a.ctl("peers", code=4)
    a.ctl("ping", "b", "-c", "1", code=4)
    url = coordinator.url()
    for bad in ("nonsense", url + "x", url[:-5], "p2pvpn://", "http://198.51.100.2/"):
        r = a.ctl("create", bad, "--name", "a", check_rc=False)
        check(r.code in (2, 11, 12) and r.err.strip(), f"a bad URL: {r}")
    a.ctl("create", url, "--name", "Not A Name!", code=2)
    a.ctl("create", url, "--name", "a", "--cidr", "10.66.0.0/40", code=2)
    a.ctl("peers", code=4)
    token = a.create(url)
    wrong = token[:20] + ("a" if token[20] != "a" else "b") + token[21:]
    for bad in ("p2pvpn-", "p2pvpn-AAAA", token[:-1], wrong, token + "A", "x" * 5000):
        r = b.ctl("join", bad, "--name", "b", check_rc=False)
        refused(r, 12)
    b.ctl("peers", code=4)
    b.ctl("join", "-", "--name", "b", stdin=token + "\n")
    a.wait_peer(b)
    r = a.ctl("join", token, "--name", "a", check_rc=False)
    check(r.code != 0 and r.err.strip(), f"joining twice: {r}")
    a.ctl("ping", "nobody", "-c", "1", code=6)
    a.ctl("why", "nobody", "-l", check_rc=False)
    a.ctl("remove", "nobody", code=6)
    r = b.ctl("remove", "a", check_rc=False)
    check(r.code in (5, 11) and r.err.strip(), f"a member removes the admin: {r}")
    r = b.ctl("invite", check_rc=False)
    check(r.code in (5, 11) and r.err.strip(), f"a member without the right invites: {r}")
    b.stop_daemon()
    wait("b to be offline", lambda: not a.peer(b)["online"], timeout=40)
    a.ctl("ping", "b", "-c", "1", code=7)
    a.ctl("wait", "--peer", "b", "--direct", "--timeout", "1", code=3)


@scenario
def a_coordinator_that_is_not_there(lab):
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.daemon()
    url = coordinator.url()
    coordinator.end()
    r = a.ctl("--timeout", "5", "create", url, "--name", "a", check_rc=False, timeout=40)
    check(r.code in (3, 9) and r.err.strip(), f"create without coordinator: {r}")
    a.ctl("peers", code=4)
    coordinator.start()
    a.create(url)
    equal(coordinator.url(), url, "the coordinator's URL after a restart")
    r = coordinator.host.run(lab.bin("p2pvpn-coordinator"), "--state", "/run/other", "--public",
                             coordinator.public(), check_rc=False)
    refused(r, r.code, "3478")
    check(r.code not in (0, 2), f"a port in use: {r}")


@scenario
def rights_and_devices(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    r = a.run(*nobody, lab.bin("p2pvpnctl"), "peers", check_rc=False)
    check(r.code == 8 and "p2pvpnd --user" in r.err, f"a user whom no p2pvpnd serves: {r}")
    a.daemon()
    r = a.run(*nobody, lab.bin("p2pvpnctl"), "peers", check_rc=False)
    refused(r, 5)
    r = a.run(*nobody, lab.bin("p2pvpnd"), "--state", "/tmp/p", "--socket", "/tmp/p.sock",
              check_rc=False)
    check(r.code != 0 and r.err.strip(), f"p2pvpnd without rights: {r}")
    a.create(coordinator.url())
    token = a.ctl("invite").out.strip()

    # No /dev/net/tun.
    b.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    b.daemon(wait_ready=False)
    wait("p2pvpnd to answer or to end",
         lambda: not b.p2pvpnd.running() or b.ctl("version", check_rc=False).code == 0)
    if b.p2pvpnd.running():
        r = b.ctl("join", token, "--name", "b", check_rc=False)
        refused(r, r.code, "tun")
        check(r.code != 0, "joined without a TUN device")
        b.p2pvpnd.end()
    else:
        check("tun" in b.p2pvpnd.text(), f"no word about the device: {b.p2pvpnd.text()}")
    b.run("umount", "/dev/net")
    b.daemon()
    if b.ctl("peers", check_rc=False).code == 4:
        b.join(token)
    a.wait_peer(b)


@scenario
def a_full_disk(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    a.daemon()
    a.create(coordinator.url())
    token = a.ctl("invite", "--uses", 5).out.strip()

    # Full from the start: a clear refusal.
    c.run("sh", "-c", "mkdir /run/full && mount -t tmpfs -o size=16k tmpfs /run/full && "
          "head -c 100000 /dev/zero >/run/full/fill || true", check_rc=False)
    r = c.run("timeout", "60", lab.bin("p2pvpnd"), "--state", "/run/full", check_rc=False)
    check(r.code not in (0, 124) and re.search("space|full|disk", r.err, re.I),
          f"p2pvpnd on a full disk: {r}")

    # Full later: what runs goes on, and says so.
    b.run("mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", "/var/lib")  # chat has its files there, too
    b.run("mkdir", "-m", "700", "/var/lib/p2pvpn")
    b.daemon()
    b.join(token)
    a.wait_peer(b)
    check(a.os_ping(a.addr(b)), "ping")
    b.run("sh", "-c", "head -c 10000000 /dev/zero >/var/lib/p2pvpn/fill", check_rc=False)
    r = b.ctl("send", "a", "x" * 10000, check_rc=False)
    for _ in range(10):
        if r.code != 0:
            break
        r = b.ctl("send", "a", "x" * 10000, check_rc=False)
    check(r.code != 0 and r.err.strip(), f"send with a full disk: {r}")
    check(a.os_ping(a.addr(b)), "ping with a full disk")
    b.p2pvpnd.must_run()
    b.run("rm", "/var/lib/p2pvpn/fill")
    wait("send to work again", lambda: b.ctl("send", "a", "free", check_rc=False).code == 0)


@scenario
def a_state_that_is_not_ours(lab):
    h = lab.host("h")
    h.run("sh", "-c", "echo file >/run/afile")
    r = h.run("timeout", "60", lab.bin("p2pvpnd"), "--state", "/run/afile", check_rc=False)
    check(r.code not in (0, 124) and "/run/afile" in r.err, f"a file as state directory: {r}")
    r = h.run("timeout", "60", lab.bin("p2pvpnd"), "--state", "/proc/nothing", check_rc=False)
    check(r.code not in (0, 124) and "/proc/nothing" in r.err, f"no state directory: {r}")
    # A volume as it is mounted, which `up` and the like put the log into before p2pvpnd looks at it.
    v = lab.host("v")
    v.run("mkdir", "-p", "/var/lib/p2pvpn")
    v.run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/var/lib/p2pvpn")
    r = v.ctl("up", check_rc=False)
    check(r.code == 4 and "started" in r.err, f"an empty volume that anybody may write to: {r}")
    # Files of others, also where `up` puts the log beside them, and keys that anybody may have put there.
    for name, mode, file in (("w", "0755", "notes"), ("x", "0777", "identity.key")):
        h2 = lab.host(name)
        h2.run("sh", "-c", f"mkdir -p -m {mode} /var/lib/p2pvpn && chmod {mode} /var/lib/p2pvpn && "
               f"touch /var/lib/p2pvpn/{file}")
        r = h2.ctl("up", check_rc=False)
        check(r.code == 8 and "state directory /var/lib/p2pvpn" in r.err, f"a directory with {file}: {r}")
        check(not h2.run("stat", "-c", "%U %a", "/var/lib/p2pvpn").out.startswith("p2pvpn"), "it is handed over")
    # A database that is garbage.
    h.daemon("--state", "/run/state")
    h.stop_daemon()
    dbs = h.run("sh", "-c", "ls /run/state/*.db /run/state/*.sqlite* 2>/dev/null",
                check_rc=False).out.split()
    check(dbs, "no database in the state directory")
    for db in dbs:
        h.run("sh", "-c", f"rm -f {db}-wal {db}-shm; head -c 8192 /dev/urandom >{db}")
    r = h.run("timeout", "60", lab.bin("p2pvpnd"), "--state", "/run/state", check_rc=False)
    check(r.code not in (0, 124) and r.err.strip(), f"a corrupt database: {r}")


@scenario
def addresses_in_the_networks_range(lab):
    """Another interface has what members have: at the start, and later. Both end with it."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.daemon()
    a.ip("link add lan0 type bridge", "link set lan0 up", "addr add 10.66.0.5/16 dev lan0")
    url = coordinator.url()

    def refusal():
        """Of create: the daemon hears of the address a moment later."""
        r = a.ctl("create", url, "--name", "a", check_rc=False)
        if r.code != 0:
            return r
        a.ctl("leave", "--forget")
        a.wait_daemon()
        return None
    refused(wait("create to be refused", refusal), 1, "10.66.0.5/16 on lan0", "--cidr")

    def problems():
        return " ".join(a.json("status")["problems"])

    a.ip("addr del 10.66.0.5/16 dev lan0")
    wait("the daemon to hear of it", lambda: a.ctl("create", url, "--name", "a", check_rc=False).code == 0)
    a.stop_daemon()
    a.ip("addr add 10.66.0.5/16 dev lan0")
    a.daemon()
    wait("status to name it", lambda: "10.66.0.5/16 on lan0" in problems())
    a.ip("addr del 10.66.0.5/16 dev lan0")
    wait("the interface to come up by itself", lambda: a.json("status")["state"] == "up")
    wait("no problem to be left", lambda: not problems())
    a.ip("addr add 10.66.7.5/24 dev lan0", "link add port0 type veth peer name port1",
         "link set port0 master lan0 up", "link set port1 up")
    wait("status to name it", lambda: "10.66.7.5/24 on lan0 is in this network's range" in problems())
    a.ip("link del lan0")
    wait("status to forget it", lambda: not problems())


# Commands by which networks live for years: each error names the remedy.
KEY = "A" * 43
# The kind of each command, about somebody who is there (PEER) or not; URL is a coordinator's.
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
    "root import", "invite --member-for soon", "invite --member-for 0", "invite revoke", "leave now", "networks all",
    "invite --tag a --tag b", "rename any")


def says(host, command, code, *words, peer="zed", url="p2pvpn://none"):
    """One error, with this exit code, that names the remedy."""
    r = host.ctl(*command.replace("PEER", peer).replace("URL", url).split(), check_rc=False, stdin="")
    equal(r.code, code, f"exit code of {r}")
    check(len(r.err.strip().splitlines()) == 1, f"not one line: {r}")
    for word in words:
        check(re.search(word, r.err), f"{word!r} is not in {r}")


@scenario
def a_user_in_no_network_or_who_mistypes(lab):
    url = lab.coordinator().url()
    a = lab.host("a")
    for command in sorted({c.split()[0] for c in ABOUT_PEERS + BY_ADMINS + BY_ANYBODY} | {"root", "networks"}):
        r = a.ctl(command, "-h", code=0)
        check(f"p2pvpnctl {command}" in r.out, f"no help: {r}")
        says(a, f"{command} --nonsense", 2, "--nonsense", f"Help: `p2pvpnctl {command} -h`")
    for command in WRONG:
        says(a, command, 2, f"Help: `p2pvpnctl {command.split()[0]} -h`")
    for command in ABOUT_PEERS + BY_ADMINS + BY_ANYBODY:
        says(a, command, 8, "sudo p2pvpnctl join TOKEN", url=url)
    check("run: `sudo p2pvpnctl join TOKEN`; to make one: `sudo p2pvpnctl create URL`\n" in a.ctl("doctor", "-l", code=1).out, "the two commands")
    a.daemon()
    for command in ABOUT_PEERS + BY_ADMINS + BY_ANYBODY:
        says(a, command, 4, "p2pvpnctl join TOKEN", url=url)
    says(a, "root import /nowhere", 1, "is the path right")
    says(a, "root export", 11, "no root key on this machine")


@scenario
def a_user_who_may_not_or_reaches_nobody(lab):
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
    says(a, "admit b", 6, "is a member already", "nothing is to be done")
    says(a, "deny b", 6, "b is a member, and does not wait", "p2pvpnctl deny b TO PORTS")
    coordinator.end()
    wait("a to miss the coordinator", lambda: a.ctl("invite", check_rc=False).code == 9, timeout=40)
    says(a, "invite", 9, "cannot reach the coordinator")
    for command in ABOUT_PEERS:
        says(a, command, 6, "p2pvpnctl peers")
    says(a, "rename b bert", 9, "renamed b to bert .the coordinator is away and will get it")
    says(a, "admin grant bert", 9, "the coordinator is away and will get it")


# Mistakes that new users made, and the answers of today: each says what is wrong, why, and what to do.
# This table is the list; whoever changes an answer changes it here. A row is (mistake, who types it, what is
# typed, exit code, words of the answer in their order). TOKEN, URL, SHORT (a token without its end) and the
# like stand for what the scenario has.
# a made the network, b is a member, c runs p2pvpnd and is in none, d has no daemon.
MISTAKES = (
    # Getting in.
    ("half a token", "c", "join SHORT", 12, "copy it whole, from p2pvpn- to the end"),
    ("a token with one other letter", "c", "join WRONG", 12, "damaged", "ask for a new one"),
    ("a token in small letters", "c", "join LOWER", 12, "damaged"),
    ("nothing for a token", "c", "join nonsense", 12, "not a token"),
    ("a token of a newer version", "c", "join p2pvpn-A-1BoAQ", 12,
     "this token is from a newer p2pvpn: upgrade p2pvpn on this machine"),
    ("a URL to join", "c", "join URL", 12, "a coordinator's URL", "p2pvpnctl invite"),
    ("a token to create", "c", "create TOKEN", 2, "that is a token", "join"),
    ("a bare address to create", "c", "create 198.51.100.2", 2, "not a coordinator URL", "p2pvpn-coordinator url"),
    ("a web address to create", "c", "create http://198.51.100.2/", 2, "copy it whole"),
    ("half a URL", "c", "create HALF", 2, "copy it whole"),
    ("a wrong secret in the URL", "c", "create SECRET", 11, "secret"),
    ("another port in the URL", "c", "create PORT", 9, "refuses the connection", "tried"),
    ("another host in the URL", "c", "create HOST", 9, "no route to the coordinator's IPv4 address", "tried 198.51.101"),
    ("a key in the URL that nobody has", "c", "create NOKEY", 2, "not a coordinator URL", "copy it whole"),
    ("the key of another coordinator", "c", "create OTHER", 9, "another key than the one looked for",
     "tried 198.51.100", "coordinator.key of before from its backup"),
    ("a token that was revoked", "c", "join REVOKED", 12, "was revoked", "ask for a new one"),
    ("a token that has expired", "c", "join EXPIRED", 12, "has expired", "ask for a new one"),
    ("a bad name", "c", "join TOKEN --name My_Laptop", 2, "a-z 0-9 and -"),
    ("a name that is taken", "c", "join TOKEN --name b", 1, "--name", "an admin frees the name: `sudo p2pvpnctl remove NAME`"),
    ("a range with host bits", "c", "create URL --cidr 10.66.0.0/40", 2, "--cidr", "10.66.0.0/16"),
    ("joining twice", "b", "join TOKEN", 1, "already", "leave", "-n NAME"),
    ("creating in a network", "b", "create URL", 1, "already", "leave"),
    ("no daemon, and never one", "d", "peers", 8, "sudo p2pvpnctl join TOKEN"),
    ("in no network", "c", "peers", 4, "p2pvpnctl join TOKEN"),
    ("in no network, asking why", "c", "why a", 4, "in no network", "p2pvpnctl join TOKEN"),
    ("in no network, pinging", "c", "ping a -c 1", 4, "p2pvpnctl join TOKEN"),
    ("a network that is not here", "a", "-n work peers", 8, "work"),
    # Words.
    ("a word that is none", "a", "pers", 2, "did you mean peers"),
    ("list, mistyped", "a", "lsit", 2, "lsit"),
    ("a room that the shell took for a comment", "a", "send", 2, "is missing", "a room in quotes: '#crew'"),
    ("a flag that is none", "a", "invite --use 2", 2, "--uses"),
    ("a flag without its value", "a", "invite --uses", 2, "--uses"),
    ("a number that is none", "a", "invite --uses many", 2, "--uses"),
    ("a time that is none", "a", "invite --expires soon", 2, "90m, 24h or 7d"),
    ("a command without its name", "a", "remove", 2, "p2pvpnctl remove -h"),
    ("too much behind a command", "a", "remove b c d", 2, "p2pvpnctl remove -h"),
    ("an address without set", "a", "address 10.66.0.9", 2, "p2pvpnctl address -h"),
    # People.
    ("nobody of that name", "a", "ping nobody -c 1", 6, "p2pvpnctl peers"),
    ("removing nobody", "a", "remove nobody", 6, "p2pvpnctl peers"),
    ("removing oneself", "a", "remove a", 6, "this machine"),
    ("pinging oneself", "a", "ping a -c 1", 6, "this machine"),
    ("a member removes the admin", "b", "remove a", 11, "ask one who is|root key"),
    ("a member invites", "b", "invite", 11, "ask one who is|root key"),
    ("a member makes a rule", "b", "deny any any all", 11, "ask one who is|root key"),
    ("admitting a member", "a", "admit b", 6, "is a member already"),
    ("admitting nobody", "a", "admit nobody", 6, "p2pvpnctl peers"),
    ("revoking nothing", "a", "invite revoke zzzz", 1, "p2pvpnctl invite list"),
    ("the last admin leaves", "a", "leave", 11, "only admin", "admin grant"),
    ("renaming to a taken name", "a", "rename b", 11, "b"),
    ("an address of another range", "a", "address set 192.168.1.5", 11, "10.66"),
    ("no address", "a", "address set here", 2, "10.66.0.9"),
    ("a phone as an admin", "a", "admin grant phone", 11, "phone is a phone", "neither invite nor remove"),
    # Rules and routes.
    ("a tag that is none", "a", "tag b Not_A_Tag", 2, "a-z 0-9 and -"),
    ("a tag as rules have it", "a", "untag b tag:guest", 1, "b has no tag guest"),
    ("using its own routes", "a", "route use a", 6, "a is this machine: name another"),
    ("a coordinator that is none of these", "a", "network coordinators remove nowhere", 2, "which one: give its key"),
    ("a rule about nobody", "a", "deny nobody any all", 6, "p2pvpnctl peers"),
    ("a port that is none", "a", "deny any b tcp/99999", 2, "port"),
    ("a rule that is none", "a", "rules remove 99", 2, "p2pvpnctl rules"),
    ("can without a port", "a", "can a b", 2, "b:22"),
    ("a route without a prefix", "a", "route offer eth0", 2, "192.168.1.0/24"),
    ("everything as a route", "a", "route use 0.0.0.0/0", 2, "exit use"),
    ("an exit that offers nothing", "a", "exit use b", 11, "exit offer", "route allow b default"),
    ("an exit that is none", "a", "exit on", 2, "exit use PEER"),
    # Chat and files.
    ("a message to nobody", "a", "send nobody hi", 6, "p2pvpnctl peers"),
    ("an empty message", "a", "send b", 2, "p2pvpnctl send -h"),
    ("a room that is none", "a", "send #nowhere hi", 6, "^p2pvpnctl: send: no room #nowhere", "room list"),
    ("chat in a room that is none", "a", "chat --lines #nowhere", 6, "^p2pvpnctl: chat: no room #nowhere"),
    ("a file that is not there", "a", "send-file b /nowhere", 1, "name a file you may read"),
    ("a file before the peer", "a", "send-file /etc/hostname b", 2, "the peer stands first: `p2pvpnctl send-file b"),
    ("a room with a capital", "a", "room leave Nowhere", 6, "no room #Nowhere", "room list"),
    ("a room with blanks", "a", "room create My_Room", 2, "not a room's name: use 1 to 32 of a-z"),
    ("a server without its flag", "a", "netcheck 198.51.100.2", 2, r"Usage: p2pvpnctl netcheck \[--server"),
    ("a directory as a file", "a", "send-file b /etc", 2, "tar"),
    ("a file of a number that is none", "a", "files get 99", 1, "99"),
    ("the history of nobody", "a", "history nobody", 6, "p2pvpnctl peers"),
    ("a log level that is none", "a", "log louder", 2, "debug"),
    ("a paper key without a file", "a", "root import /nowhere", 1, "is the path right"),
    ("a directory instead of a paper key", "a", "root import /run", 1, "Is a directory", "is the path right"),
    ("another file than a paper key", "a", "root import /etc/passwd", 12, "root export", "another file"),
    ("a passphrase without a terminal", "a", "root export", 2, "no terminal", "--passphrase-file"),
    # The ways of people who have read only the first page.
    ("a name with a blank", "c", "create URL --network My_Home", 2, "a-z 0-9 and -"),
    ("a range of the internet that is in use", "c", "create URL --cidr 198.51.100.0/24", 1, "overlaps", "another range"),
    ("a range of the internet", "c", "create URL --cidr 8.0.0.0/24", 11, "no private range", "`range = 8.0.0.0/24`"),
    ("a range of groups", "c", "create URL --cidr 224.0.0.0/8", 2, "10.66.0.0/16", "224/3 are for no members"),
    ("a URL without its secret", "c", "create NOSECRET", 11, "secret is missing", "p2pvpn-coordinator url"),
    ("two tokens", "c", "join TOKEN TOKEN", 2, "one word too many", "p2pvpnctl join -h"),
    ("an address that is nobody's", "a", "ping 10.66.0.1 -c 1", 6, "p2pvpnctl peers"),
    ("one's own route", "a", "route offer 10.66.0.0/16", 2, "outside of it"),
    ("an address for a prefix", "a", "route offer 192.168.1.1/24", 2, "give 192.168.1.0/24"),
    ("an exit that is this machine", "a", "exit use a", 6, "name another"),
    ("replacing a machine by itself", "a", "node replace a b", 6, "name another"),
    ("the only coordinator taken away", "a", "network coordinators remove 198.51.100.2", 11, "coordinators add URL"),
    ("a coordinator by its address", "a", "network coordinators add 198.51.100.9", 2, "p2pvpn-coordinator url"),
    ("an invite for a phone who is an admin", "a", "invite --admin --member-for 3d", 2, "leave out --admin"),
    ("an invite for five minutes' membership", "a", "invite --member-for 5m", 2, "90d"),
    ("a phone named like a member", "a", "export b", 11, "Choose another"),
    ("ending rights that are none", "a", "admin revoke b", 1, "p2pvpnctl peers"),
    ("a tag that the member has not", "a", "untag b gust", 1, "p2pvpnctl rules"),
    ("a rule for the wrong default", "a", "rules default denny", 2, "allow.deny"),
    ("denying half a rule", "a", "deny b any", 2, "PORTS is missing", "deny b any all"),
    ("a port by its name", "a", "nc b ssh", 2, "1 to 65535"),
    ("a port where nobody listens", "a", "nc b 9", 11, "no program listens"),
    ("a forward without a port there", "a", "forward 8080 b", 2, "pi:22"),
    ("a room of two words", "a", "room create My_Room", 2, "a-z 0-9 and -"),
    ("joining a room", "a", "room join crew", 2, "accept ROOM"),
    ("accepting a file without its number", "a", "files accept", 2, "p2pvpnctl files"),
    ("running what is in the network already", "a", "run ssh b", 11, "without p2pvpnctl run"),
    ("a flag, mistyped, of all commands", "a", "status --jsno", 2, "--json"),
    ("a command, mistyped", "a", "remvoe b", 2, "did you mean remove"),
    ("a time to wait that is none", "a", "-t abc peers", 2, "give seconds"),
    ("a network's name with a slash", "a", "-n x/y peers", 2, "such as work"),
    ("a network's name that is empty", "a", "-n EMPTY peers", 2, "--net is empty", "leave it out"),
    ("a new network's name that is empty", "c", "create URL --network EMPTY", 2, "--network is empty"),
    ("a time for what has no end", "a", "forward -t 1 0 b:80", 2, "`timeout 60 p2pvpnctl forward", "take --timeout"),
    ("two addresses where one is printed", "a", "ip -4 -6", 2, "give one of -4, -6"),
    ("a chat for people and for scripts", "a", "chat b --lines --raw", 2, "give one of them"),
    ("a name that no server has", "a", "netcheck --server nowhere.invalid", 1, "is the name right"),
    ("a paper key of a member's machine", "b", "root export", 11, "root key"),
)


def typed(text, words):
    return [words.get(w, w) for w in text.split()]


@scenario
def each_of_ninety_mistakes_gets_an_answer_that_helps(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    d = lab.host("d")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.ctl("export", "phone")
    c.daemon()
    url, token = coordinator.url(), a.ctl("invite").out.strip()
    secret = url[:-2] + ("AA" if url[-2:] != "AA" else "BA")
    key = url.split("/")[3].split("?")[0]
    revoked, expired = a.ctl("invite", "--uses", 7).out.strip(), a.ctl("invite", "--expires", "1s").out.strip()
    a.ctl("invite", "revoke", next(i["id"] for i in a.json("invite", "list")["invites"] if i["uses"] == 7))
    wait("a token to expire", lambda: "expired" in a.ctl("invite", "list").out)
    words = {"HOST": url.replace("198.51.100.", "198.51.101."), "REVOKED": revoked, "EXPIRED": expired,
             "NOKEY": url.replace(key, KEY), "OTHER": url.replace(key, a.peers()["b"]["key"]),
             "URL": url, "TOKEN": token, "SHORT": token[:-7], "LOWER": token.lower(), "HALF": url[:-9],
             "WRONG": token[:30] + ("A" if token[30] != "A" else "B") + token[31:], "SECRET": secret,
             "EMPTY": "", "NOSECRET": url.split("?")[0], "PORT": url.replace(":3478", ":3999")}
    wrong = []
    for mistake, who, text, code, *parts in MISTAKES:
        host = {"a": a, "b": b, "c": c, "d": d}[who]
        r = host.ctl(*typed(text, words), check_rc=False, stdin="", timeout=60)
        said = " ".join(r.err.split())
        at = 0
        for part in parts:
            found = re.search(part, said[at:])
            at = -1 if found is None or at < 0 else at + found.end()
            if at < 0:
                break
        if r.code != code or at < 0:
            wrong.append(f"{mistake}: `{text}`: {r.code} (not {code}?) {said!r} lacks {parts}")
    check(not wrong, "\n" + "\n".join(wrong))
    check(len(MISTAKES) >= 90, f"only {len(MISTAKES)} mistakes are kept")


@scenario
def mistakes_of_a_machine_get_an_answer_that_helps(lab):
    """Those that nobody types: a clock, a device, a name that another thing has."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    a.run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    r = a.ctl("create", coordinator.url(), "--name", "a", check_rc=False)
    check(r.code == 1 and "modprobe tun" in r.err, f"no TUN: {r}")
    a.run("umount", "/dev/net")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    r = a.run(*nobody, lab.bin("p2pvpnctl"), "up", check_rc=False)
    check(r.code in (5, 8) and "use sudo" in r.err, f"without sudo: {r}")
    b = lab.host("b")
    lab.network(coordinator, [a, b])
    r = a.run(*nobody, lab.bin("p2pvpnctl"), "peers", check_rc=False)
    check(r.code == 5 and 'usermod -aG p2pvpn "$USER"' in r.err, f"not in the group: {r}")
    r = a.run(*nobody, lab.bin("p2pvpnctl"), "web", check_rc=False)
    check(r.code == 5 and 'usermod -aG p2pvpn "$USER"' in r.err, f"the page, not in the group: {r}")
    r = a.run(lab.bin("p2pvpnd"), check_rc=False)
    check(r.code not in (0, 2) and "already" in r.err, f"a second p2pvpnd: {r}")
    a.ctl("down")
    r = a.ctl("invite", check_rc=False)
    check(r.code != 0 and "p2pvpnctl up" in r.err, f"down: {r}")
    for words in (("nc", "b", "80"), ("forward", "8080", "b:80")):
        r = a.ctl(*words, code=1)
        check("this machine is down: `sudo p2pvpnctl up`" in r.err, f"{words}: {r}")
    r = b.ctl("down") and b.ctl("leave", check_rc=False)
    check(r.code == 9 and "while this node is down: `sudo p2pvpnctl up`" in r.err, f"leaving while it is down: {r}")
    b.run("mount", "--bind", "/var/lib/p2pvpn", "/var/lib/p2pvpn")
    b.run("mount", "-o", "remount,ro,bind", "/var/lib/p2pvpn")
    r = b.ctl("doctor", "-l", check_rc=False)
    check("/var/lib/p2pvpn is read-only" in r.out and "mount it for writing" in r.out, f"no disk to write to: {r}")
    b.run("umount", "/var/lib/p2pvpn")
    wait("the interface to go", lambda: a.run("ip", "link", "show", "p2pvpn0", check_rc=False).code != 0)
    a.ip("link add p2pvpn0 type bridge")
    r = a.ctl("up", check_rc=False)
    check(r.code == 1 and "up: the interface is not up: " in r.err, f"up without an interface: {r}")
    a.ip("link del p2pvpn0")
    a.ctl("up")
    wait("the interface", lambda: a.run("ip", "link", "show", "p2pvpn0", check_rc=False).code == 0)
    a.ip("link set p2pvpn0 down")
    # Where the daemon still sets the interface up it puts that back, as with an address.
    wait("status to name it, or the daemon to mend it", lambda: "ip link set p2pvpn0 up" in a.ctl("status", "-l").out or
         "UP" in a.run("ip", "-br", "link", "show", "p2pvpn0").out.split("<")[1])
    # `up` sets anew what somebody has changed.
    mtu = a.json("status")["interface"]["mtu"]
    for change in ("down", "mtu 1000"):
        a.ip(f"link set p2pvpn0 {change}")
        wait("status to name it", lambda: "ip link set p2pvpn0" in a.ctl("status", "-l").out)
        a.ctl("up")
        wait("it to be as before", lambda: not a.json("status")["problems"])
        check(f"mtu {mtu}" in (link := a.run("ip", "addr", "show", "p2pvpn0").out) and ",UP" in link and
              a.addr(family=6) in link, f"after {change} and up: {link}")


@scenario(minutes=20)
def nothing_of_an_answer_is_obeyed_by_a_terminal_or_a_shell(lab):
    shells = [s for s in ("bash", "zsh", "fish") if shutil.which(s)]
    said = lab.host("a").run("python3", LIAR, lab.build + "/bin", *shells, timeout=900)
    equal(said.out, "", "what came out")
    equal(said.err, "", "complaints")
