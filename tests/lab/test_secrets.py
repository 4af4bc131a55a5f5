# SPDX-License-Identifier: MIT
"""Where keys are: in locked memory that no core dump holds, once; in their files; nowhere else."""
import base64
import glob
import os
import re
import signal

from lab import check, equal, scenario, wait

STATE = "/var/lib/p2pvpn"
NETWORK_ID = 16  # bytes


def mappings(pid):
    """(first, end, locked, left out of core dumps, name) of each mapping that can be read."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
            if m and m[3].startswith("r"):
                found.append([int(m[1], 16), int(m[2], 16), False, False, m[4].strip()])
            elif m:
                found.append(None)
            elif line.startswith("VmFlags:") and found and found[-1]:
                found[-1][2], found[-1][3] = " lo" in line, " dd" in line
    return [x for x in found if x]


def places(pid, secret):
    """The mappings that hold these bytes, one entry for each occurrence."""
    found = []
    try:
        mem = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except (FileNotFoundError, ProcessLookupError):
        return []
    with mem:
        for first, end, locked, dontdump, name in mappings(pid):
            if name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            try:
                mem.seek(first)
                data = mem.read(min(end - first, 1 << 28))
            except (OSError, ValueError, OverflowError):
                continue
            at = data.find(secret)
            while at >= 0:
                found.append((hex(first + at), locked, dontdump, name))
                at = data.find(secret, at + 1)
    return found


def below(pid):
    """This process and all below it."""
    result, todo = [], [pid]
    while todo:
        one = todo.pop()
        result.append(one)
        for path in glob.glob(f"/proc/{one}/task/*/children"):
            with open(path, encoding="ascii") as f:
                todo += [int(x) for x in f.read().split()]
    return result


def read_key(host, path):
    """The 32 bytes of a key file, and the text they are written as."""
    text = host.run("cat", path).out.strip()
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), text.encode()


def look(pid, what, forms, owner):
    """In the process that owns it once, locked and left out of dumps; elsewhere not at all, and
    neither as it stands in its file."""
    for one in below(pid):
        try:
            with open(f"/proc/{one}/comm", encoding="ascii") as f:
                name = f.read().strip()
            mappings(one)
        except (FileNotFoundError, ProcessLookupError):
            continue  # a porter or a task that has ended meanwhile
        found = places(one, forms[0])
        if any("libasan" in x[4] for x in mappings(one)):
            # The sanitizer keeps the frames of functions that have returned.
            found = [x for x in found if x[1]]
        most = 1 if owner and one == pid else 0
        check(len(found) <= most, f"{what} in {name}: {found}")
        for where, locked, dontdump, _ in found:
            check(locked and dontdump, f"{what} at {where} of {name}: locked {locked}, dontdump {dontdump}")
        equal(places(one, forms[1]), [], f"{what} as text in {name}")
        try:
            for part in ("cmdline", "environ"):
                with open(f"/proc/{one}/{part}", "rb") as f:
                    check(forms[1] not in f.read(), f"{what} in {part} of {name}")
            with open(f"/proc/{one}/limits", encoding="ascii") as f:
                core = [x for x in f if x.startswith("Max core file size")]
        except (FileNotFoundError, ProcessLookupError):
            continue
        equal(core[0].split()[4], "0", f"limit of core dumps of {name}")


def on_disk(host, own, forms):
    """Files of a state directory that hold a secret beside its own."""
    root = f"/proc/{host.holder.pid}/root"
    for directory in (STATE, "/var/lib/p2pvpn-coordinator", "/run", "/tmp"):
        for folder, _, names in os.walk(root + directory):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.isfile(path) or path == root + own:
                    continue
                with open(path, "rb") as f:
                    data = f.read()
                check(not any(x in data for x in forms), f"{own} is in {path[len(root):]} too")


@scenario
def keys_are_once_in_locked_memory_and_in_their_files(lab):
    """After a join, meetings, messages, a file and a restart of the coordinator."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ctl("send", "b", "hello")
    b.run("sh", "-c", "echo text >/run/file")
    coordinator.restart()
    wait("the coordinator", lambda: all((h.json("status")["coordinator"] or {}).get("connected")
                                        for h in (a, b)), 30)
    a.ping(b)
    forms = {}
    for host, keys in ((a, ("identity", "transport", "root")), (b, ("identity", "transport"))):
        for key in keys:
            own = f"{STATE}/{key}.key"
            forms[host.name + " " + key] = host, own, read_key(host, own)
    for what, (host, own, both) in forms.items():
        for other in (a, b):
            look(other.p2pvpnd.pid, what, both, other is host)
            on_disk(other, own if other is host else "", both)
        look(coordinator.program.pid, what, both, False)
        on_disk(coordinator.host, "", both)
        said = a.ctl("status", "--json").out + a.ctl("peers", "--json").out
        check(both[1].decode() not in said, f"{what} in an answer")
        for path in glob.glob(os.path.join(lab.logs, "*.log")):
            with open(path, "rb") as f:
                check(both[1] not in f.read(), f"{what} in {os.path.basename(path)}")


def stalled(host, *argv):
    """A command of p2pvpnctl that has to wait: its process, once it sleeps in poll() for the daemon."""
    program = host.start(host.lab.bin("p2pvpnctl"), *argv)

    def sleeps():
        program.must_run()
        with open(f"/proc/{program.pid}/comm", encoding="ascii") as f:
            started = f.read().strip() == "p2pvpnctl"
        with open(f"/proc/{program.pid}/stat", encoding="ascii") as f:
            asleep = f.read().rsplit(")", 1)[1].split()[0] == "S"
        return started and asleep and any(
            os.readlink(x).startswith("socket:") for x in glob.glob(f"/proc/{program.pid}/fd/*"))
    wait("p2pvpnctl to wait for the daemon", sleeps)
    return program


def look_at_waiting(host, what, forms, *argv):
    """While p2pvpnctl waits for a daemon that stands still, its arguments, environment and memory are
    searched, and nobody gets a core of it."""
    host.p2pvpnd.popen.send_signal(signal.SIGSTOP)
    try:
        program = stalled(host, *argv)
        wait(f"{what} to leave the memory of p2pvpnctl",
             lambda: not any(places(program.pid, x) for x in forms))
        look(program.pid, what, forms, False)
        program.kill()
    finally:
        host.p2pvpnd.popen.send_signal(signal.SIGCONT)


def invite_forms(token):
    """The seed of an invite, and the text that has it: version, network, seed, coordinators."""
    text = token.removeprefix("p2pvpn-")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return raw[1 + NETWORK_ID:][:32], text.encode()


@scenario
def coordinators_secrets_and_invites_are_nowhere_else(lab):
    """The coordinator's key and create secret, and tokens that were used or not: after create and
    join, in each process, answer, log and directory; and in p2pvpnctl while it waits."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    url = coordinator.url()
    for host in (a, b):
        host.daemon()
    directory = "/var/lib/p2pvpn-coordinator"
    own = {"coordinator": f"{directory}/coordinator.key", "create": f"{directory}/create.key"}
    forms = {what: read_key(coordinator.host, path) for what, path in own.items()}
    look_at_waiting(a, "create", forms["create"], "create", url, "--name", "a")
    forms["first invite"] = invite_forms(a.create(url))
    used, kept = (a.ctl("invite").out.strip() for _ in range(2))
    forms["used invite"], forms["kept invite"] = invite_forms(used), invite_forms(kept)
    look_at_waiting(b, "used invite", forms["used invite"], "join", used, "--name", "b")
    wait("b to be a member", lambda: b.ctl("join", used, "--name", "b", check_rc=False) and
         b.json("status").get("network"), 30)
    a.wait_direct(b)
    for what, both in forms.items():
        path = own.get(what, "")
        look(coordinator.program.pid, what, both, what in own)
        on_disk(coordinator.host, path, both)
        for host in (a, b):
            look(host.p2pvpnd.pid, what, both, False)
            on_disk(host, "", both)
            said = "".join(host.ctl(*x, "--json").out for x in (["status"], ["peers"]))
            said += a.ctl("invite", "list", "--json").out
            check(both[1].decode() not in said, f"{what} in an answer")
        for path in glob.glob(os.path.join(lab.logs, "*.log")):
            with open(path, "rb") as f:
                check(both[1] not in f.read(), f"{what} in {os.path.basename(path)}")
