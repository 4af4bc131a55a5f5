#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README's own command lines, typed into bare machines, and some of the guide.

usage: tests/install/readme.py [SUITE]      as root; SUITE: bookworm (default) or trixie

Each machine is a minimal Debian with sudo and a user. On the first one the packages are built from a clone and
installed, on the next one they are installed from copies; then the coordinator, `create`, `join` and `ping`, all as
README has it. The repository is made and used as the guide says, and lists that were changed after they were signed
must be refused. With more machines (server is 198.51.100.7, as in README) follow the lines of eleven tasks
of the guide: rights, rules, files, names, machines that leave, wait, are guests or were stolen, a coordinator restored
from a backup, one that moves, one at home. `other`, a Debian 11 if the mirror has it, gets the static program by the
lines that check it, and joins them. An example (the URL, the token) is replaced by what the line before printed.
PV_WITHOUT is handed on (scripts/libraries).
"""
import functools
import html
import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CACHE = "/var/cache/p2pvpn"
EXAMPLE = "https://apt.example.org"

HOLDER = r"""
set -eu
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" "$3/root"
cd "$3/root"
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs tmpfs run
hostname "$1"
printf '127.0.0.1 localhost %s\n' "$1" >etc/hosts
echo ready
exec sleep infinity
"""


class Failure(Exception):
    pass


class Machine:
    """A Debian of its own: mounts, processes and a host name; network True: that of this machine."""

    def __init__(self, name, lower, work, network=False):
        self.name, self.work = name, work
        for d in ("upper", "work", "root"):
            os.makedirs(os.path.join(work, d))
        flags = ["-m", "-u", "--pid", "--fork", "--kill-child"] + ([] if network else ["-n"])
        self.holder = subprocess.Popen(["unshare", *flags, "sh", "-c", HOLDER, "sh", name, lower, work],
                                       stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise Failure(f"machine {name} cannot be made")
        self.pid = int(subprocess.run(["pgrep", "-P", str(self.holder.pid)], capture_output=True, text=True,
                                      check=True).stdout.split()[0])
        self.root = os.path.join(work, "root")

    def argv(self, user, line, cwd="/"):
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-p", "-n", "--", "chroot", self.root,
                 "env", "-i", "TERM=dumb", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                 "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        # A login gives the user's own PATH and groups, as a terminal would.
        without = f"PV_WITHOUT='{os.environ['PV_WITHOUT']}' " if "PV_WITHOUT" in os.environ else ""
        return [*enter, "su", "-", user, "-c", f"cd {cwd}; export {without}LC_ALL=C.UTF-8; {line}"]

    def type(self, line, user="me", cwd="/", timeout=120):
        print(f"{self.name}:{user}$ {line}", flush=True)
        r = subprocess.run(self.argv(user, line, cwd), capture_output=True, text=True, timeout=timeout,
                           stdin=subprocess.DEVNULL, check=False)
        print("    " + (r.stdout + r.stderr).strip()[-1500:].replace("\n", "\n    "), flush=True)
        if r.returncode != 0:
            raise Failure(f"{self.name}: {line}: exit code {r.returncode}")
        return r.stdout

    def end(self):
        self.holder.kill()
        self.holder.wait()


def lines_between(path, start, end):
    """The indented blocks of a document's part, line by line, without the remarks behind them."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = f.read()
    begin = text.index(start)
    stop = text.find(end, begin + len(start))
    part = text[begin:stop if stop >= 0 else len(text)]
    return [m.group(1) for m in re.finditer(r"(?m)^    (\S.*?)(?:   +\S.*)?$", part)]


def pick(lines, pattern):
    found = [x for x in lines if re.search(pattern, x)]
    if not found:
        raise Failure(f"README has no line like {pattern}")
    return found[0]


def copy_tree(target):
    files = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout
    tar = subprocess.run(["tar", "-C", ROOT, "--null", "-T", "-", "-cf", "-"], input=files, capture_output=True,
                         check=True).stdout
    subprocess.run(["tar", "-C", target, "-xf", "-"], input=tar, check=True)


def prepare(machine, *packages):
    """The means of somebody who types: a network, sudo and a home."""
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        resolv = f.read()
    machine.type(f"printf %s {shlex.quote(resolv)} >/etc/resolv.conf; apt-get update -q && apt-get install -y -q "
                 f"--no-install-recommends sudo {' '.join(packages)} && useradd -m -s /bin/bash me && "
                 "echo 'me ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/me", user="root", timeout=600)


def build_packages(machine, lines):
    """From a clone, as README says; installed on the same machine, too."""
    prepare(machine, "ca-certificates")
    machine.type(pick(lines, "apt install git").replace("apt install", "apt install -y"), timeout=600)
    # The holder's mounts are its own: the way in is by its process.
    inside = f"/proc/{machine.pid}/root{machine.root}/home/me/origin"
    os.makedirs(inside)
    copy_tree(inside)
    machine.type("chown -R me:me /home/me/origin", user="root")
    machine.type("git init -q && git add -A && git -c user.name=me -c user.email=me@p2pvpn.invalid commit -qm first",
                 cwd="/home/me/origin")
    machine.type(pick(lines, "git clone").replace("THIS-REPOSITORY", "/home/me/origin"), cwd="/home/me")
    for pattern in (r"^scripts/package$", r"apt install ./build"):
        machine.type(pick(lines, pattern).replace("apt install", "apt install -y"), cwd="/home/me/p2pvpn", timeout=3600)


def make_repository(machine, lines, url):
    """Of what was built, and the static programs. The directory that is to be served, once the machine has ended."""
    machine.type("scripts/package static", cwd="/home/me/p2pvpn", timeout=3600)
    line = pick(lines, "^scripts/release").replace("scripts/release", "scripts/release --built")
    said = machine.type(line.replace(EXAMPLE, url), cwd="/home/me/p2pvpn")
    machine.end()
    if not said.count("sha256sum -c && sudo install"):
        raise Failure("scripts/release prints no lines to paste")
    return os.path.join(machine.work, "upper/home/me/release")


def install_copies(machine, builder, lines):
    """The packages of the builder, copied as README says; and the coordinator's."""
    prepare(machine, "iputils-ping")
    node = re.fullmatch(r"scp -r (\S+/node) pi:", pick(lines, "^scp ")).group(1)
    built = os.path.join(builder.work, "upper/home/me/p2pvpn", os.path.dirname(node))
    inside = f"/proc/{machine.pid}/root{machine.root}/home/me"
    for part in ("node", "coordinator"):
        # The link leads from where it is.
        shutil.copytree(os.path.join(built, os.readlink(os.path.join(built, part))), os.path.join(inside, part))
        line = pick(lines, "apt install ./node").replace("./node", f"./{part}").replace("apt install", "apt install -y")
        said = machine.type(line, cwd="/home/me", timeout=600)
        if "sudo p2pvpn" not in said:
            raise Failure("installing does not say what to do next")


def install(machine, lines, url, suite, page):
    """The packages, from that repository."""
    prepare(machine)
    for pattern in (r"p2pvpn\.gpg", r"12\.sources", r"apt install p2pvpn$", r"apt install p2pvpn-coord"):
        line = pick(lines, pattern).replace(EXAMPLE, url)
        shown = line.replace("/12.", "/$(. /etc/os-release; echo $VERSION_ID).")
        if shown not in page and "coordinator" not in line:
            raise Failure(f"the repository's page does not have the line of the guide: {shown}")
        own = line.replace("/12.", "/13.") if suite == "trixie" else line
        machine.type(own.replace("apt install", "apt install -y"), timeout=600)


def tamper(machine, served, suite):
    """apt takes from a repository only what was signed."""
    lists = os.path.join(served, "dists", suite)
    for name, good, bad in (("main/binary-amd64/Packages", "Package: p2pvpn\n", "Package: p2pvpn-too\n"),
                            ("InRelease", "Origin: p2pvpn", "Origin: others")):
        path = os.path.join(lists, name)
        shutil.copy(path, path + ".good")
        with open(path, encoding="utf-8") as f:
            text = f.read().replace(good, bad)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        if name != "InRelease":  # what apt asks for
            subprocess.run(["gzip", "-kf", path], check=True)
        said = machine.type("sudo rm -rf /var/lib/apt/lists/*; sudo apt-get update -q 2>&1; apt-cache policy p2pvpn",
                            timeout=300)
        os.rename(path + ".good", path)
        if not re.search(r"unexpected size|Hash Sum mismatch|not valid|BADSIG|[Bb]ad signature|verif", said) or \
                "http://127.0.0.1" in said[said.rindex("Candidate"):]:
            raise Failure(f"apt takes a {name} that nobody has signed")


def in_net(machine, *command):
    """A command of this machine in the network of that one."""
    subprocess.run(["nsenter", "-t", str(machine.pid), "-n", "--", *command], check=True)


def plug(machine, hub, interface, *addresses):
    """Into the bridge of hub's network, which begins with hub's own address."""
    end = "v" + machine.name[-12:]
    in_net(machine, "ip", "link", "set", "lo", "up")
    if machine is hub:
        # A bridge without an address of its own takes that of a later end, and everybody else loses it.
        in_net(hub, "ip", "link", "add", interface, "address", "02:00:00:00:00:01", "type", "bridge")
    else:
        in_net(machine, "ip", "link", "add", interface, "type", "veth", "peer", "name", end, "netns",
               f"/proc/{hub.pid}/ns/net")
        in_net(hub, "ip", "link", "set", end, "master", "br0", "up")
    in_net(machine, "ip", "link", "set", interface, "up")
    for address in addresses:
        in_net(machine, "ip", "addr", "add", address, "dev", interface)


def wire(machines):
    """A network of its own with the server at README's address; no way out. The second coordinator's network is
    another one on the same cable."""
    for n, machine in enumerate(machines):
        at = f"198.51.100.{10 + n if n else 7}/24"
        plug(machine, machines[0], "eth0" if n else "br0", at, f"203.0.113.{110 + n}/24")


def use(lines, server, first, pi):
    """The coordinator on server, the network made on first, and pi in it."""
    line = pick(lines, r"p2pvpn-coordinator --public")
    print(f"server:me$ {line}", flush=True)
    # A terminal of its own: there the coordinator shows its URL.
    coordinator = subprocess.Popen(["script", "-qfc", shlex.join(server.argv("me", line)), "/dev/null"],
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace")
    url = ""
    while True:
        out = coordinator.stdout.readline()
        print("    " + out.rstrip(), flush=True)
        m = re.search(r"p2pvpn://\S+?(?=')", out)
        url = m.group(0) if m else url
        if "listening on" in out or not out:
            break
    if not url:
        raise Failure("the coordinator shows no URL")
    create = re.sub(r"'p2pvpn://[^']*'", f"'{url}'", pick(lines, r"p2pvpnctl create"))
    token = token_in(first.type(create.replace("--name server", f"--name {first.name}")))
    pi.type(re.sub(r"p2pvpn-\S*…", token, pick(lines, r"p2pvpnctl join")))
    started = time.monotonic()
    pi.type(pick(lines, r"p2pvpnctl ping").replace("ping server", f"ping {first.name}"))
    print(f"readme: the first ping took {time.monotonic() - started:.1f} s")
    # The group is for everything that follows; a new login (each line is one) has it, and the present one has not.
    # remedy: join_group, log_in_again
    join = 'sudo usermod -aG p2pvpn "$USER"'
    refused(first, "p2pvpnctl doctor", join)
    refused(first, f"({join}; p2pvpnctl doctor)", "newgrp p2pvpn")
    if "not in group" in first.type("p2pvpnctl doctor || true"):
        raise Failure("a new login does not have the group")
    first.type("p2pvpnctl send pi 'it works'")
    first.type("getent hosts pi && sudo ping -c 1 -W 5 pi")
    if "it works" not in pi.type("sudo p2pvpnctl inbox"):
        raise Failure("the message did not arrive")
    return coordinator


def token_in(said):
    return re.findall(r"p2pvpn-[A-Za-z0-9_-]{40,}", said)[-1]


def join_by_one_file(lines, laptop, other):
    """A machine with the static program only, which starts itself."""
    token = token_in(laptop.type("sudo p2pvpnctl invite"))
    other.type(re.sub(r"p2pvpn-\S*…", token, pick(lines, r"p2pvpnctl join")).replace("--name pi", "--name other"))
    laptop.type("p2pvpnctl ping other")
    other.type("sudo p2pvpnctl send laptop 'so does one file'")
    if "so does one file" not in laptop.type("p2pvpnctl inbox"):
        raise Failure("the message of the static program did not arrive")


def task(page, title, *replaced):
    """The commands of one task of the guide."""
    lines = lines_between(f"docs/guide/{page}.md", f"# {title}\n", "\n##")
    for old, new in replaced:
        lines = [line.replace(old, new) for line in lines]
    return lines


def members(laptop, pi):
    """Some of what the guide says to type, with the names of these machines."""
    lines = task("members", "Give a second person rights", ("desktop", "pi"))
    laptop.type(pick(lines, "admin grant"))
    laptop.type("p2pvpnctl wait --online --peer pi && p2pvpnctl peers | grep -w pi | grep -q admin")
    laptop.type(pick(lines, "admin revoke"))

    lines = task("rules", "Rules", ("toms-laptop", "pi"), ("gameserver", "laptop"))
    for pattern in (r"ctl tag pi", r"allow tag:guest", r"deny tag:guest"):
        laptop.type(pick(lines, pattern))
    laptop.type("p2pvpnctl can pi laptop:udp/27015 && ! p2pvpnctl can pi laptop:22")
    laptop.type("sudo p2pvpnctl rules remove 2 && sudo p2pvpnctl rules remove 1")

    lines = task("chat", "Send files", ("photo.jpg", "/etc/os-release"), ("pi$ ", "sudo "))
    laptop.type(pick(lines, "send-file").replace("send-file", "send-file --no-wait"))
    pi.type("for n in $(seq 50); do sudo p2pvpnctl files | grep -q os-release && break; sleep 0.1; done")
    pi.type(pick(lines, "files accept"), cwd="/home/me")
    pi.type("cmp os-release /etc/os-release", cwd="/home/me")

    lines = task("members", "Rename a machine, or replace it")
    pi.type(pick(lines, "rename garage"))
    pi.type(pick(lines, "address set"))
    laptop.type("p2pvpnctl wait --online --peer garage && getent hosts garage")

    pi.type(pick(task("members", "Take a machine out"), "leave --forget"))
    lines = task("members", "Decide on each machine that joins")
    token = token_in(laptop.type(pick(lines, "invite --approve")))
    pi.type(f"sudo p2pvpnctl join {token} --name toms-laptop")
    laptop.type("for n in $(seq 100); do p2pvpnctl peers | grep -q toms-laptop && break; sleep 0.1; done")
    laptop.type(pick(lines, "ctl admit"))
    laptop.type("p2pvpnctl wait --peer toms-laptop && p2pvpnctl ping toms-laptop")


def joins(admin, machine, name, invite="sudo p2pvpnctl invite"):
    """By a token that the line `invite` prints on the admin's machine, which it gives back."""
    token = token_in(admin.type(invite))
    machine.type(f"sudo p2pvpnctl join {token} --name {name}")
    admin.type(f"p2pvpnctl wait --peer {name} && p2pvpnctl ping {name} -c 1")
    return token


def refused(machine, line, words):
    """A line that must not succeed, and the words of its answer."""
    if words not in machine.type(f"! {line} 2>&1"):
        raise Failure(f"{machine.name}: {line}: nothing says '{words}'")


def guest_for_a_time(laptop, guest):
    joins(laptop, guest, "guest", pick(task("members", "Invite a machine for a time"), "member-for"))
    # 90 days, and the moments since.
    laptop.type("p2pvpnctl peers --json | grep -qE '\"expires\":[0-9]{10}' && p2pvpnctl peers --long | grep guest")
    if "renewed while this node is used" not in guest.type("sudo p2pvpnctl status -l"):
        raise Failure("the guest is not told for how long")


def stolen(laptop, phone, other):
    lines = task("keys", "A machine was stolen", ("desktop$ ", ""))
    token = joins(laptop, phone, "phone", "sudo p2pvpnctl invite --uses 5")
    other.type("sudo p2pvpnctl leave --forget")
    joins(laptop, other, "pi", "sudo p2pvpnctl invite --uses 5")
    laptop.type(pick(lines, "remove phone"))
    phone.type("for n in $(seq 50); do sudo p2pvpnctl status | grep -q 'was removed' && exit; sleep 0.1; done; exit 1")
    refused(laptop, "p2pvpnctl ping phone -c 1", "phone")
    listed = [x for x in laptop.type(pick(lines, "invite list")).splitlines() if x.endswith("used by pi")]
    laptop.type(pick(lines, "invite revoke").replace("ID", listed[0].split()[0]))
    phone.type("sudo p2pvpnctl leave --forget || true")
    refused(phone, f"sudo p2pvpnctl join {token} --name phone", "revoked")
    laptop.type("p2pvpnctl ping pi -c 1")
    joins(laptop, phone, "phone")


# These machines have no systemd: what its units do is in units.sh. Typed as it stands, `systemctl` must do the same.
SYSTEMCTL = r"""#!/bin/sh
if [ "$1" = stop ]; then
    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe") in */p2pvpn-coordinator) kill "$(echo "$exe" | cut -d/ -f3)" ;; esac
    done
    while ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q /p2pvpn-coordinator$; do sleep 0.1; done
    exit 0
fi
setsid p2pvpn-coordinator </dev/null >/run/coordinator.log 2>&1 &
for n in $(seq 100); do
    ! grep -q 'listening on' /run/coordinator.log || exit 0
    sleep 0.1
done
cat /run/coordinator.log
exit 1
"""


def at_every_boot(machine, *settings):
    """The coordinator as a service, with these lines of coordinator.conf."""
    machine.type(f"printf %s {shlex.quote(SYSTEMCTL)} >/usr/local/sbin/systemctl; chmod 755 /usr/local/sbin/systemctl; "
                 f"printf '%s\\n' {shlex.join(settings)} >/etc/p2pvpn/coordinator.conf", user="root")
    machine.type("systemctl stop p2pvpn-coordinator && systemctl start p2pvpn-coordinator", user="root")


BACK = "for n in $(seq 600); do p2pvpnctl status | grep -q 'coordinator .*, connected' && exit; sleep 0.1; done; exit 1"


def backup_and_restore(server, laptop, phone):
    lines = task("backup", "Backup and restore")
    at_every_boot(server, "[coordinator]", "public = 198.51.100.7")
    laptop.type(BACK)
    before = server.type("p2pvpn-coordinator url --public 198.51.100.7", user="root")
    token = token_in(laptop.type("sudo p2pvpnctl invite"))
    server.type(pick(lines, "coordinator backup /root"), user="root")
    cron = pick(lines, "root .*coordinator backup")
    server.type("PATH=/usr/bin:/bin; " + cron.split("root ", 1)[1].replace("\\%", "%"), user="root")
    server.type(pick(lines, "systemctl stop"), user="root")
    # The disk is a new one.
    server.type("rm -r /var/lib/p2pvpn-coordinator", user="root")
    for pattern in ("coordinator restore", "systemctl start"):
        server.type(pick(lines, pattern), user="root")
    laptop.type(BACK)
    if server.type("p2pvpn-coordinator url --public 198.51.100.7", user="root") != before:
        raise Failure("the restored coordinator is another one")
    # A member that begins anew, by a token from before.
    phone.type(BACK.replace("p2pvpnctl", "sudo p2pvpnctl"))  # else nobody could be told
    phone.type("sudo p2pvpnctl leave --forget")
    phone.type(f"sudo p2pvpnctl join {token} --name phone")
    laptop.type("p2pvpnctl wait --peer phone && p2pvpnctl ping phone -c 1")


def coordinator_moves(server, second, laptop, phone):
    lines = task("backup", "Move the coordinator")
    in_net(second, "ip", "addr", "add", "203.0.113.9/24", "dev", "eth0")
    at_every_boot(second, "[coordinator]", "public = 203.0.113.9")
    url = re.search(r"p2pvpn://[^\s']+", second.type("p2pvpn-coordinator url", user="root")).group(0)
    laptop.type(pick(lines, "network coordinators$"))
    laptop.type(re.sub(r"'p2pvpn://[^']*'", f"'{url}'", pick(lines, "coordinators add")))
    phone.type("for n in $(seq 100); do sudo p2pvpnctl status | grep -q 203.0.113.9 && exit; sleep 0.1; done; exit 1")
    laptop.type(pick(lines, "coordinators remove"))
    server.type("systemctl stop p2pvpn-coordinator", user="root")
    laptop.type("p2pvpnctl ping phone -c 1")
    phone.type(BACK.replace("p2pvpnctl", "sudo p2pvpnctl"))  # else nobody could be told
    phone.type("sudo p2pvpnctl leave --forget")
    joins(laptop, phone, "phone")


def coordinator_at_home(router, nas, laptop, friend):
    """nas and laptop stand behind the router, friend on the public network."""
    lines = task("coordinator", "Run the coordinator at home")
    for machine, at in ((nas, "3"), (laptop, "20")):
        plug(machine, router, "eth0", f"192.168.1.{at}/24")
        in_net(machine, "ip", "route", "add", "default", "via", "192.168.1.1")
    in_net(router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    in_net(router, "nft", """table ip nat {
        chain in {
            type nat hook prerouting priority -100;
            iifname "wan" meta l4proto { tcp, udp } th dport { 3478, 3479 } dnat to 192.168.1.3;
        }
        chain out {
            type nat hook postrouting priority 100;
            oifname "wan" masquerade;
        }
        chain through {
            type filter hook forward priority 0;
            ct status dnat accept;
            iifname "wan" ct state new drop;
        }
    }""")
    for machine in (nas, laptop, friend):
        machine.type("echo 198.51.100.50 home.example.org >>/etc/hosts", user="root")
    at_every_boot(nas, pick(lines, r"^\[coordinator\]"), *[x for x in lines if x.startswith("public = ")])
    url = re.search(r"p2pvpn://[^\s']+", nas.type(pick(lines, "coordinator url"))).group(0)
    laptop.type(re.sub(r"'p2pvpn://[^']*'", f"'{url}'", pick(lines, "p2pvpnctl create")))
    laptop.type('sudo usermod -aG p2pvpn "$USER"')
    listed = laptop.type("p2pvpnctl network coordinators")
    if "192.168.1.3:3478" not in listed or "home.example.org:3478" not in listed:
        raise Failure("not both addresses of the coordinator at home are in the network's record")
    joins(laptop, nas, "nas")
    joins(laptop, friend, "friend")
    friend.type("sudo p2pvpnctl ping nas -c 1")


def tasks(server, laptop, pi, made):
    """made(name): another machine, not yet on any network."""
    members(laptop, pi)
    guest, phone, second, friend, router = more = [made(n) for n in ("guest", "phone", "second", "friend", "router")]
    for n, machine in enumerate(more):
        plug(machine, server, "wan" if machine is router else "eth0", f"198.51.100.{46 + n}/24",
             f"203.0.113.{46 + n}/24")
    guest_for_a_time(laptop, guest)
    stolen(laptop, phone, pi)
    backup_and_restore(server, laptop, phone)
    coordinator_moves(server, second, laptop, phone)
    plug(router, router, "br0", "192.168.1.1/24")
    coordinator_at_home(router, made("nas"), made("desktop"), friend)


def serve(directory):
    """A web server on a port that is free; the directory may come later."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    handler.func.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def bare(suite):
    subprocess.run([os.path.join(ROOT, "scripts/chroot"), "--fresh", suite, "true"], check=True)
    return os.path.join(CACHE, suite + ".bare")


def run(suite, work, machines):
    """machines: gets each that is made, to be ended."""
    def machine(name, lower, network=False, at=None):
        machines.append(Machine(name, lower, os.path.join(work, at or name), network))
        return machines[-1]
    base = bare(suite)
    lines = lines_between("README.md", "## Your own network", "## Every day")
    guide = lines_between("docs/guide/repository.md", "# Make an apt repository\n", "\n## ")
    builder = machine("builder", base, True)
    served = os.path.join(work, "builder/upper/home/me/release")
    url = serve(served)
    build_packages(builder, lines)
    make_repository(builder, guide, url)
    ground = machine("ground", base, True)
    install_copies(ground, builder, lines)
    ground.end()
    lower = os.path.join(work, "ground", "upper") + ":" + base
    pair = [machine(n, lower) for n in ("server", "pi")]
    wire(pair)
    use(lines, pair[0], *pair).kill()
    for one in pair:
        one.end()

    with open(os.path.join(served, "index.html"), encoding="utf-8") as f:
        page = html.unescape(f.read())
    try:
        old = bare("bullseye")
    except subprocess.CalledProcessError:
        print("readme: no Debian 11 here: the static program is tried on this one")
        old = base
    elsewhere = machine("elsewhere", old, True)
    prepare(elsewhere, "curl", "gpgv", "iproute2")
    elsewhere.type(page[page.index("curl -fO"):].split("</pre>")[0].strip(), cwd="/home/me")
    elsewhere.end()

    server, laptop, pi = three = [machine(n, lower, at=n + "2") for n in ("server", "laptop", "pi")]
    other = machine("other", os.path.join(work, "elsewhere", "upper") + ":" + old)
    wire([*three, other])
    coordinator = use(lines, server, laptop, pi)
    join_by_one_file(lines, laptop, other)
    tasks(server, laptop, pi, lambda name: machine(name, lower))
    coordinator.kill()
    shop = machine("shop", base, True)
    install(shop, guide, url, suite, page)
    tamper(shop, served, suite)


def main():
    suite = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    if os.geteuid() != 0:
        sys.exit("readme: it makes machines out of namespaces, so it must run as root")
    os.makedirs(CACHE, exist_ok=True)
    work = tempfile.mkdtemp(prefix="readme.", dir=CACHE)
    machines, code = [], 0
    try:
        run(suite, work, machines)
        print("readme: ok")
    except (Failure, subprocess.TimeoutExpired, subprocess.CalledProcessError) as e:
        print(f"readme: {e}", file=sys.stderr)
        code = 1
    finally:
        for machine in machines:
            machine.end()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
