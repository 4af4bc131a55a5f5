#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README's own command lines, typed into bare machines: does what it says work as it stands there?

usage: tests/install/readme.py [SUITE]      as root; SUITE: bookworm (default) or trixie

Three machines, each a minimal Debian with sudo and a user: the lines that install are typed once, by the
user, and what they leave is the ground of all three. Then `server` (198.51.100.7, as in README), `laptop` and
`pi` get the lines that README has for them. An example of README (the URL, the token) is replaced
by what the line before printed. Counts the commands from an installed machine to the first ping.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CACHE = "/var/cache/p2pvpn"

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
        return [*enter, "su", "-", user, "-c", f"cd {cwd}; export LC_ALL=C.UTF-8; {line}"]

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


def lines_of_readme():
    """The indented blocks from "Install" on, line by line."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read()
    part = text[text.index("## Install"):text.index("## What now?")]
    return [m.group(1) for m in re.finditer(r"(?m)^    (\S.*)$", part)]


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


def install(machine, lines):
    """The installation as README says, as a user with sudo, in a copy of this tree."""
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        resolv = f.read()
    machine.type(f"printf %s {shlex.quote(resolv)} >/etc/resolv.conf; apt-get update -q && apt-get install -y -q "
                 "--no-install-recommends sudo iputils-ping && useradd -m -s /bin/bash me && "
                 "echo 'me ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/me", user="root", timeout=600)
    tree = os.path.join(machine.root, "home/me/p2pvpn")
    # The holder's mounts are its own: the way in is by its process.
    inside = f"/proc/{machine.pid}/root{tree}"
    os.makedirs(inside)
    copy_tree(inside)
    machine.type("chown -R me:me /home/me/p2pvpn", user="root")
    for pattern in (r"scripts/deps package", r"scripts/package$", r"apt install .*p2pvpn_",
                    r"apt install .*p2pvpn-coordinator_"):
        line = pick(lines, pattern).replace("apt install", "apt install -y")
        machine.type(line, cwd="/home/me/p2pvpn", timeout=3600)


def wire(machines):
    """A network of its own with the server at README's address; no way out."""
    first = machines[0]
    for n, machine in enumerate(machines):
        ns = f"/proc/{machine.pid}/ns/net"
        run = ["nsenter", "-t", str(machine.pid), "-n", "--", "ip"]
        subprocess.run([*run, "link", "set", "lo", "up"], check=True)
        if n == 0:
            subprocess.run([*run, "link", "add", "br0", "type", "bridge"], check=True)
            subprocess.run([*run, "link", "set", "br0", "up"], check=True)
            subprocess.run([*run, "addr", "add", "198.51.100.7/24", "dev", "br0"], check=True)
            continue
        subprocess.run([*run, "link", "add", "eth0", "type", "veth", "peer", "name", f"v{n}", "netns",
                        f"/proc/{first.pid}/ns/net"], check=True)
        subprocess.run(["nsenter", "-t", str(first.pid), "-n", "--", "ip", "link", "set", f"v{n}", "master", "br0",
                        "up"], check=True)
        subprocess.run([*run, "addr", "add", f"198.51.100.{10 + n}/24", "dev", "eth0"], check=True)
        subprocess.run([*run, "link", "set", "eth0", "up"], check=True)
        del ns


def use(lines, server, laptop, pi):
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
    token = laptop.type(create).strip().split()[-1]
    pi.type(re.sub(r"p2pvpn-\S*…", token, pick(lines, r"p2pvpnctl join")))
    # The group is for everything that follows; a new login (each line is one) has it.
    laptop.type(pick(lines, r"usermod"))
    started = time.monotonic()
    laptop.type(pick(lines, r"p2pvpnctl ping"))
    print(f"readme: the first ping took {time.monotonic() - started:.1f} s")
    laptop.type(pick(lines, r"p2pvpnctl send"))
    laptop.type("getent hosts pi && ping -c 1 -W 5 pi")
    if "it works" not in pi.type("sudo p2pvpnctl inbox"):
        raise Failure("the message did not arrive")
    print("readme: from nothing to a ping: 3 installs, coordinator, create, join, ping (with sudo): 7 commands")
    coordinator.kill()


def main():
    suite = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    if os.geteuid() != 0:
        sys.exit("readme: it makes machines out of namespaces, so it must run as root")
    subprocess.run([os.path.join(ROOT, "scripts/chroot"), "--fresh", suite, "true"], check=True)
    base = os.path.join(CACHE, suite + ".bare")
    work = tempfile.mkdtemp(prefix="readme.", dir=CACHE)
    machines, code = [], 0
    try:
        lines = lines_of_readme()
        ground = Machine("ground", base, os.path.join(work, "ground"), network=True)
        machines.append(ground)
        install(ground, lines)
        ground.end()
        lower = os.path.join(work, "ground", "upper") + ":" + base
        three = [Machine(n, lower, os.path.join(work, n)) for n in ("server", "laptop", "pi")]
        machines += three
        wire(three)
        use(lines, *three)
        print("readme: ok")
    except (Failure, subprocess.TimeoutExpired) as e:
        print(f"readme: {e}", file=sys.stderr)
        code = 1
    finally:
        for machine in machines:
            machine.end()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
