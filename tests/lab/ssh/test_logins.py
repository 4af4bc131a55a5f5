# SPDX-License-Identifier: MIT
"""Members log in to accounts that a rule and root of the machine name: OpenSSH's own sshd and ssh."""
import os
import signal
import time

from lab import SLOW, check, equal, scenario, wait
from nsslab import use_module
from sshlab import accounts, debian_sshd, enter, make_host_keys, new_key, own_etc_ssh, ssh_words

CTL = "/run/bin/p2pvpnctl"
CONFIG = "/etc/ssh/sshd_config.d/p2pvpn-logins.conf"
USERS = ("ada", "bob", "eve")

# Answers whoever asks about a key that it opens every account, from everywhere, and much more; or says nothing.
CAPTURED = r"""
import json, os, socket, sys, threading, time
key, how = sys.argv[1:]
path = "/run/p2pvpn/p2pvpnd.sock"
if os.path.exists(path):
    os.unlink(path)
s = socket.socket(socket.AF_UNIX)
s.bind(path)
os.chmod(path, 0o666)
s.listen(64)
def serve(c):
    f = c.makefile("rb")
    line = f.readline()
    if how == "hang":
        threading.Event().wait()
    m = lambda k, a="127.0.0.1": {"ip4": a, "ip6": "fd00::1", "key": k}
    members = [m(key), m(key, '10.0.0.1",command="id'), m("command=\"touch /run/bad\" " + key),
               m(key + " x\nenvironment=\"A=B\" " + key), m("cert-authority " + key), 7]
    answer = {"id": json.loads(line)["id"], "ok": True, "members": members}
    try:
        c.sendall(json.dumps(answer).encode() + b"\n")
        while how == "flood":
            c.sendall(b" " * 65536)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


def begin(lab, *names):
    """A network; the first host is an admin with a key of its own, the second has sshd and accounts."""
    coordinator = lab.coordinator()
    hosts = [lab.host(name) for name in names]
    for host in hosts:
        own_etc_ssh(lab, host)
    a, pi = hosts[:2]
    make_host_keys(pi, ["ed25519"])
    accounts(pi, *USERS)
    lab.network(coordinator, hosts)
    for host in hosts[1:]:
        a.wait_peer(host)
    use_module(lab, a)
    return coordinator, *hosts


def enable(pi, *users, code=0):
    r = pi.run(CTL, "ssh", "enable", *users, check_rc=False)
    equal(r.code, code, f"exit code of ssh enable: {r}")
    left = pi.run("sh", "-c", "ls -d /run/p2pvpn-ssh* /etc/ssh/sshd_config.d/.p2pvpn* 2>/dev/null", check_rc=False).out
    equal(left, "", "what enable leaves behind")
    return r


def told(pi, user, print_):
    """What sshd of pi is told about this key."""
    r = pi.run("setpriv", "--reuid=p2pvpn", "--regid=p2pvpn", "--clear-groups", "--", CTL, "ssh", "authorized-keys",
               user, print_)
    equal(r.err, "", "errors of authorized-keys")
    return r.out


def announce(a, pi, user="ada"):
    print_ = new_key(a)
    a.ctl("ssh", "keys", "add", f"{a.home}/key.pub")
    return print_


@scenario
def an_account_needs_a_rule_and_root_of_the_machine(lab):
    coordinator, a, pi, carol = begin(lab, "a", "pi", "carol")
    debian_sshd(pi)
    before = pi.run("/usr/sbin/sshd", "-T").out
    print_ = announce(a, pi)
    equal(enter(a, "ada", "pi"), "", "a login before anything")

    enable(pi, "ada", "bob")
    equal(pi.run("stat", "-c", "%U %a", CONFIG).out.split(), ["root", "644"], "the file of root's")
    equal(pi.run("/usr/sbin/sshd", "-T").out, before, "what sshd does about other accounts")
    equal(enter(a, "ada", "pi"), "", "a login without a rule")
    a.ctl("allow", "a", "pi", "ssh:ada")
    wait("the rule at pi", lambda: told(pi, "ada", print_))
    equal(told(pi, "ada", print_).split(" ")[0], f'from="{a.addr()},{a.addr(family=6)}"', "the addresses of a line")
    equal(enter(a, "ada", "pi"), "ada", "ssh by the rule")
    equal(enter(a, "ada", a.addr(pi, family=6)), "ada", "ssh by IPv6")
    for user in ("bob", "eve", "root", "p2pvpn"):
        equal(enter(a, user, "pi"), "", f"ssh {user}@pi")
    equal(a.ctl("can", "a", "pi", "ssh:ada").code, 0, "can, of the account")
    a.ctl("can", "a", "pi:ssh:bob", code=11)
    check("ssh:ada" in a.ctl("rules").out, "rules shows the account")
    check("account ada of pi for a" in a.ctl("why", "pi", "-l").out, a.ctl("why", "pi", "-l").out)

    # The rule opens the port as well, and nothing else.
    a.ctl("rules", "default", "deny")
    wait("the default at pi", lambda: pi.json("rules")["default"] == "deny")
    equal(enter(a, "ada", "pi"), "ada", "ssh where the rule alone opens the port")
    a.ctl("can", "a", "pi:80", code=11)
    equal(enter(a, "ada", pi.ip4), "", "the key from an address outside the overlay")

    # Another member with a copy of the key.
    carol.run("sh", "-ec", "umask 077; cat >/run/key", stdin=a.run("cat", "/run/key").out)
    a.ctl("allow", "carol", "pi", "ssh")
    wait("the port for carol", lambda: carol.run("nc", "-z", "-w", "2", carol.addr(pi), "22", check_rc=False).code == 0)
    equal(enter(carol, "ada", carol.addr(pi)), "", "the key of another one's address")

    # An account that the rule names and root of pi did not, and root itself.
    a.ctl("allow", "any", "pi", "ssh:root,eve")
    wait("the rule", lambda: told(pi, "eve", print_))
    for user in ("eve", "root"):
        equal(enter(a, user, "pi"), "", f"ssh {user}@pi, which root did not name")
    enable(pi, "root", "ada")
    wait("sshd to read it", lambda: enter(a, "root", "pi") == "root")
    equal(enter(a, "eve", "pi"), "", "ssh eve@pi")

    # A denial before it, a rule that is gone, a member that is gone.
    a.ctl("deny", "a", "pi", "ssh", "--before", "1")
    wait("the denial", lambda: told(pi, "ada", print_) == "")
    a.ctl("can", "a", "pi", "ssh:ada", code=11)
    a.ctl("rules", "remove", "1")
    wait("its end", lambda: told(pi, "ada", print_))
    a.ctl("rules", "remove", "1")
    wait("the rule to be gone", lambda: told(pi, "ada", print_) == "")
    equal(told(pi, "root", print_) != "", True, "the other rule stays")
    a.ctl("ssh", "keys", "remove", "all")
    wait("the key to be gone", lambda: told(pi, "root", print_) == "")
    equal(enter(a, "root", "pi"), "", "a key that is announced no longer")

    carol.ctl("ssh", "keys", "add", stdin="", code=2)
    carol.run("sh", "-ec", "ssh-keygen -yf /run/key >/run/key.pub")
    carol.ctl("ssh", "keys", "add", "/run/key.pub")
    wait("carol's key", lambda: carol.addr() in told(pi, "root", print_))
    equal(enter(carol, "root", carol.addr(pi)), "root", "the same key of carol's")
    a.ctl("rename", "carol", "mallory")
    equal(enter(carol, "root", carol.addr(pi)), "root", "a member that is renamed")
    # Neither the coordinator nor the member is asked.
    coordinator.end()
    began = time.monotonic()
    check(told(pi, "root", print_), "an answer while the coordinator is away")
    print(f"authorized-keys: {1000 * (time.monotonic() - began):.0f} ms, with sanitizers and a start")
    coordinator.start()
    wait("a to be online", lambda: a.json("status")["coordinator"]["connected"])
    a.ctl("remove", "mallory")
    wait("the member to be gone", lambda: told(pi, "root", print_) == "")


@scenario
def ordinary_keys_work_whatever_p2pvpnd_does(lab):
    _, a, pi = begin(lab, "a", "pi")
    debian_sshd(pi)
    announce(a, pi)
    pi.run("sh", "-ec", "cat >/run/homes/ada/.ssh/authorized_keys", stdin=a.run("cat", "/run/key.pub").out)
    enable(pi, "ada", "bob")

    def login(what, user="ada", who="ada", limit=4):
        began = time.monotonic()
        equal(enter(a, user, pi.ip4), who, what)
        check(time.monotonic() - began < limit * SLOW, f"{what}: {time.monotonic() - began:.1f} s")

    login("an ordinary key")
    os.kill(pi.p2pvpnd.pid, signal.SIGSTOP)
    login("an ordinary key while p2pvpnd hangs")
    login("no key while p2pvpnd hangs", "bob", "")
    os.kill(pi.p2pvpnd.pid, signal.SIGCONT)
    pi.stop_daemon()
    login("an ordinary key while p2pvpnd is down")
    login("no key while p2pvpnd is down", "bob", "")
    pi.run("mv", CTL, "/run/bin/away")
    login("an ordinary key without p2pvpnctl")
    login("no key without p2pvpnctl", "bob", "")
    pi.run("mv", "/run/bin/away", CTL)
    r = pi.run(CTL, "ssh", "disable")
    check("no account" in r.err, r.err)
    pi.run("test", "!", "-e", CONFIG)
    login("an ordinary key after disable")


@scenario
def a_captured_p2pvpnd_opens_no_account_that_root_did_not_name(lab):
    _, a, pi = begin(lab, "a", "pi")
    debian_sshd(pi)
    print_ = announce(a, pi)
    enable(pi, "ada")
    pi.stop_daemon()
    key = a.run("cat", "/run/key.pub").out.strip()
    for how in ("answer", "flood", "hang"):
        fake = pi.start("python3", "-c", CAPTURED, " ".join(key.split()[:2]), how, name="captured")
        wait("its socket", lambda: pi.run("sh", "-c", "ss -Hlx | grep p2pvpnd.sock", check_rc=False).out)
        for user in ("bob", "root", "eve", "p2pvpn"):
            equal(enter(a, user, pi.ip4), "", f"ssh {user}@pi")
        began = time.monotonic()
        lines = told(pi, "ada", print_)
        check(time.monotonic() - began < 3 * SLOW, "it gives up after a second")
        for line in lines.splitlines():
            check(line.split(" ", 1) == ['from="127.0.0.1,fd00::1"', " ".join(key.split()[:2])], line)
        equal(enter(a, "ada", pi.ip4), "", "an address that sshd checks")
        fake.end()
    equal(pi.run("sh", "-c", "ls /run/bad 2>/dev/null", check_rc=False).out, "", "what a line would have run")
    # The user that p2pvpnd and the command run as changes nothing that sshd believes.
    for what in (f"echo x >>{CONFIG}", f"rm {CONFIG}", "echo root >/run/p2pvpn-ssh-trial", f"echo x >>{CTL}"):
        r = pi.run("setpriv", "--reuid=p2pvpn", "--regid=p2pvpn", "--clear-groups", "--", "sh", "-c", what,
                   check_rc=False)
        check(r.code != 0, f"p2pvpn may: {what}")


@scenario
def enable_changes_nothing_unless_a_login_works(lab):
    _, a, pi = begin(lab, "a", "pi")
    daemon = debian_sshd(pi)

    def refused(word, *users, code=1):
        r = enable(pi, *users, code=code)
        check(word in r.err, r.err)
        pi.run("test", "!", "-e", CONFIG)

    refused("no account nobody2", "ada", "nobody2")
    for bad in ("*", "ada,root", "!ada", "a b", "ada\nMatch all", ""):
        refused("names of accounts", bad, code=2)
    r = pi.run(*pi.as_user(), CTL, "ssh", "enable", "ada", check_rc=False)
    equal(r.code, 5, f"somebody without rights: {r}")
    daemon.end()

    own = "AuthorizedKeysCommand /bin/false\n  AuthorizedKeysCommandUser nobody"
    for lines, word, code in ((own, "already has AuthorizedKeysCommand", 11),
                              ("Match User ada\n  " + own, "for ada", 11),
                              ("AllowUsers root", "trial login as ada", 1),
                              ("PubkeyAuthentication no", "trial login as ada", 1),
                              ("Nonsense yes", "sshd -T failed", 1)):
        pi.run("sh", "-ec", "cat >/etc/ssh/sshd_config",
               stdin="Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\nPidFile /run/sshd.pid\n" + lines + "\n")
        refused(word, "ada", code=code)
    pi.run("sh", "-ec", "printf 'UsePAM no\nPidFile /run/sshd.pid\n' >/etc/ssh/sshd_config")
    refused("has to begin with Include", "ada")
    pi.run("chmod", "777", "/run/bin")
    daemon = debian_sshd(pi)
    refused("Unsafe AuthorizedKeysCommand", "ada")
    pi.run("chmod", "755", "/run/bin")
    enable(pi, "ada")
    enable(pi, "bob")
    check("Match User bob\n" in pi.run("cat", CONFIG).out, "the last order counts")
    enable(pi, "ada", "*", code=2)
    check("Match User bob\n" in pi.run("cat", CONFIG).out, "an order that fails changes nothing")
    # A file of that name that is somebody's own stays.
    pi.run("sh", "-ec", f"echo '# mine' >{CONFIG}")
    pi.run(CTL, "ssh", "disable", "--all")
    enable(pi, "ada", code=11)
    equal(pi.run("cat", CONFIG).out, "# mine\n", "another one's file")


@scenario
def openssh_does_the_rest(lab):
    """scp, sftp, rsync, git, an agent and mosh, by keys that a rule opens; and the same without root."""
    coordinator = lab.coordinator()
    pi, a, b = lab.host("pi"), lab.host("a"), lab.host("b")
    for host in (pi, a, b):
        own_etc_ssh(lab, host)
    make_host_keys(pi, ["ed25519"])
    accounts(pi, *USERS)
    b.without_root()
    lab.network(coordinator, [pi, a, b])
    use_module(lab, a)
    debian_sshd(pi)
    enable(pi, "ada")
    for host in (a, b):
        print_ = announce(host, pi)
        pi.ctl("allow", host.name, "pi", "ssh:ada")
        host.wait_peer(pi)
        wait("the rule and the key", lambda p=print_: told(pi, "ada", p))
    shell = " ".join(ssh_words(a))
    equal(enter(a, "ada", "pi"), "ada", "ssh")
    a.run("sh", "-ec", "head -c 300000 /dev/urandom >/run/f; mkdir -p /run/tree; cp /run/f /run/tree")
    want = a.run("sha256sum", "/run/f").out.split()[0]
    home = "/run/homes/ada"
    scp = ssh_words(a)[1:]
    a.run("scp", "-q", *scp, "/run/f", "ada@pi:f1")
    a.run("sftp", "-q", "-b", "-", *scp, "ada@pi", stdin="put /run/f f2\n")
    a.run("rsync", "-a", "-e", shell, "/run/tree/", "ada@pi:tree/")
    for name in ("f1", "f2", "tree/f"):
        equal(pi.run("sha256sum", f"{home}/{name}").out.split()[0], want, name)
    enter(a, "ada", "pi", words=("git init -q --bare repo.git",))
    a.run("sh", "-ec", """
        export GIT_SSH_COMMAND="$1" HOME=/run
        git clone -q ada@pi:repo.git /run/clone 2>/dev/null
        cd /run/clone
        git -c user.name=a -c user.email=a@a commit -q --allow-empty -m first
        git push -q origin HEAD
    """, "sh", shell)
    check(pi.run("ls", f"{home}/repo.git/refs/heads").out.strip(), "git push")
    # An agent has the key, and goes along.
    said = a.run("sh", "-ec", """
        eval $(ssh-agent) >/dev/null
        ssh-add -q /run/key
        mv /run/key /run/moved
        ssh -A -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes ada@pi ssh-add -l
        mv /run/moved /run/key
        kill $SSH_AGENT_PID
    """).out
    check(print_ not in said and "SHA256:" in said, said)
    pi.ctl("allow", "a", "pi", "udp/60001-60010")
    pi.ctl("rules", "default", "deny")
    wait("the default at pi", lambda: pi.json("rules")["default"] == "deny")
    r = a.run("sh", "-c", """
        export LC_ALL=C.UTF-8 TERM=xterm HOME=/run
        timeout 40 script -qec "stty rows 24 cols 80; mosh --ssh='$1' ada@pi -- sh -c 'echo mosh-$(printf %s works); sleep 1'" /dev/null
    """, "sh", shell, check_rc=False)
    check("mosh-works" in r.out, f"mosh: {r}")

    # Without root.
    equal(enter(b, "ada", "pi", by=b.inside), "ada", "run ssh pi")
    proxy = f"ProxyCommand={lab.bin('p2pvpnctl')} nc %h %p"
    equal(enter(b, "ada", "pi", "-o", proxy), "ada", "ssh by p2pvpnctl nc")
    for how in (("-o", proxy), ()):
        r = b.run(*(() if how else b.inside), *ssh_words(b, *how), "bob@pi", "true", check_rc=False)
        equal(r.code, 255, "an account that is not open")
