# SPDX-License-Identifier: MIT
"""Where keys are: in locked memory that no core dump holds, once; in their files; nowhere else."""
import base64
import contextlib
import glob
import mmap
import os
import re
import resource
import signal

from clusterlab import Database
from lab import Skip, check, equal, scenario, wait
from turnlab import relays, use_turn

STATE = "/var/lib/p2pvpn"
NETWORK_ID = 16  # bytes


class Mapping:
    """A range of memory that can be read: locked, left out of core dumps, and what it maps."""

    def __init__(self, first, end, name):
        self.first, self.end, self.name = first, end, name
        self.locked = self.dontdump = False


def mappings(pid):
    """The mappings of a process that can be read."""
    found = []
    one = None
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
            if m:
                one = Mapping(int(m[1], 16), int(m[2], 16), m[4].strip())
                if m[3].startswith("r") and one.name not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                    found.append(one)
            elif line.startswith("VmFlags:"):
                one.locked, one.dontdump = " lo" in line, " dd" in line
    return found


def present(pagemap, mapping):
    """(first, length) of each run of pages that hold something, of the first 256 MB: ASan's shadow has
    terabytes that nobody wrote."""
    pages = min(mapping.end - mapping.first, 1 << 28) // mmap.PAGESIZE
    pagemap.seek(mapping.first // mmap.PAGESIZE * 8)
    # The two highest bits of an entry: in memory, or in swap.
    flags = pagemap.read(pages * 8)[7::8]
    for run in re.finditer(rb"[\x40-\xff]+", flags):
        yield mapping.first + run.start() * mmap.PAGESIZE, len(run[0]) * mmap.PAGESIZE


def search(pid, needles):
    """Where the memory of a process holds each of these: a list of (address, mapping) for each needle.
    All are looked for in one reading, which is what takes the time."""
    found = {needle: [] for needle in needles}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem, \
            open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for mapping in mappings(pid):
            for first, length in present(pagemap, mapping):
                try:
                    mem.seek(first)
                    data = mem.read(length)
                except OSError:
                    continue  # unmapped meanwhile
                for needle, where in found.items():
                    at = data.find(needle)
                    while at >= 0:
                        where.append((first + at, mapping))
                        at = data.find(needle, at + 1)
    return found


def below(pid):
    """This process and all below it."""
    result, todo = [], [pid]
    while todo:
        one = todo.pop()
        result.append(one)
        for path in glob.glob(f"/proc/{one}/task/*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(path, encoding="ascii") as f:
                todo += [int(x) for x in f.read().split()]
    return result


class Secret:
    """A secret's bytes, the text they are written as, and who may have it: a process and a file. plain: in that
    process it may be anywhere, as often as the libraries that use it like."""

    def __init__(self, what, raw, text, pid=0, path="", plain=False):
        self.what, self.raw, self.text, self.pid, self.path, self.plain = what, raw, text, pid, path, plain


def at(host, path):
    """A file of the host, seen from here."""
    return f"/proc/{host.holder.pid}/root{path}"


def keys_of(what, host, pid, path):
    """The keys of a file, of 32 bytes each: a line has one, and maybe when it was replaced."""
    found = []
    for line in host.run("cat", path).out.splitlines():
        text = line.split()[0]
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        found.append(Secret(f"{what} {len(found) + 1}", raw, text.encode(), pid, at(host, path)))
    return found


def keeper(host):
    """The process that has the root key, and no other."""
    return next(pid for pid in below(host.p2pvpnd.pid) if comm(pid) == "p2pvpnd-keeper")


def comm(pid):
    """The name of a process, or none if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()
    return ""


def look_at_memory(pid, name, secrets):
    """In the process that owns a secret its bytes are once, locked and left out of dumps; elsewhere
    not at all, and nowhere as it stands in its file."""
    found = search(pid, [x for one in secrets for x in (one.raw, one.text)])
    sanitized = any("libasan" in x.name for x in mappings(pid))
    for one in secrets:
        if one.plain and one.pid == pid:
            continue
        places = found[one.raw]
        if sanitized:
            # The sanitizer keeps the frames of functions that have returned, and its mlock() does nothing.
            places = [x for x in places if x[1].dontdump]
        told = [(hex(where), x.name) for where, x in places]
        equal(len(places), 1 if one.pid == pid else 0, f"copies of {one.what} in {name} at {told}")
        for where, x in places:
            check(x.dontdump and (x.locked or sanitized), f"{one.what} at {hex(where)} of {name}: "
                  f"locked {x.locked}, dontdump {x.dontdump}")
        told = [(hex(where), x.name) for where, x in found[one.text]]
        equal(told, [], f"{one.what} as text in {name}")


def look_at_words(pid, name, secrets):
    """The arguments, which every user of the machine sees, and the environment, which programs get."""
    for part in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{part}", "rb") as f:
            data = f.read()
        for x in secrets:
            check(x.text not in data, f"{x.what} in {part} of {name}")


def look(pid, secrets):
    """The memory, arguments and environment of a process and all below it; none of them dumps core."""
    for one in below(pid):
        try:
            with open(f"/proc/{one}/comm", encoding="ascii") as f:
                name = f.read().strip()
            look_at_memory(one, name, secrets)
            look_at_words(one, name, secrets)
            with open(f"/proc/{one}/limits", encoding="ascii") as f:
                core = [x for x in f if x.startswith("Max core file size")]
        except (FileNotFoundError, ProcessLookupError):
            continue  # a porter or a task that has ended meanwhile
        equal(core[0].split()[4], "0", f"limit of core dumps of {name}")


def on_disk(host, secrets):
    """Files of the state directories that hold a secret beside its own. The host shares /tmp with this
    machine, where others keep their files, our own source among them: what its programs may have written there came
    after it, and is in no checkout."""
    root = f"/proc/{host.holder.pid}/root"
    began = os.stat(f"/proc/{host.holder.pid}").st_ctime
    for directory in (STATE, "/var/lib/p2pvpn-coordinator", "/etc/p2pvpn", "/run", "/tmp"):
        for folder, folders, names in os.walk(root + directory):
            if os.path.exists(os.path.join(folder, ".git")):
                folders.clear()
                continue
            for name in names:
                path = os.path.join(folder, name)
                try:
                    if not os.path.isfile(path) or (directory == "/tmp" and os.stat(path).st_ctime < began):
                        continue
                    with open(path, "rb") as f:
                        data = f.read()
                except FileNotFoundError:
                    continue  # gone meanwhile: a program's own of /run, or somebody else's of /tmp
                for one in secrets:
                    check(path == one.path or (one.raw not in data and one.text not in data),
                          f"{one.what} is in {path[len(root):]} too")


def in_answers_and_logs(lab, answers, secrets):
    """The answers to p2pvpnctl, and the logs of all programs."""
    for one in secrets:
        check(one.text.decode() not in answers, f"{one.what} in an answer")
    for path in glob.glob(os.path.join(lab.logs, "*.log")):
        with open(path, "rb") as f:
            data = f.read()
        for one in secrets:
            check(one.text not in data, f"{one.what} in {os.path.basename(path)}")


@scenario
def keys_are_once_in_locked_memory_and_in_their_files(lab):
    """After a join, meetings, messages, a file, new transport keys and a restart of the coordinator."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ctl("send", "b", "hello")
    b.run("sh", "-c", "echo text >/run/file")
    for _ in range(2):
        a.ctl("key", "rotate")
    coordinator.restart()
    wait("the coordinator", lambda: all((h.json("status")["coordinator"] or {}).get("connected")
                                        for h in (a, b)))
    a.ping(b)
    secrets = [one for host, keys in ((a, ("identity", "transport", "root")), (b, ("identity", "transport")))
               for key in keys
               for one in keys_of(f"{host.name} {key}", host,
                                  keeper(host) if key == "root" else host.p2pvpnd.pid, f"{STATE}/{key}.key")]
    equal(len(secrets), 7, "keys, two former ones among them")
    for host, program in ((a, a.p2pvpnd), (b, b.p2pvpnd), (coordinator.host, coordinator.program)):
        look(program.pid, secrets)
        on_disk(host, secrets)
    in_answers_and_logs(lab, a.ctl("status", "--json").out + a.ctl("peers", "--json").out, secrets)


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


def look_at_waiting(host, secret, *argv):
    """While p2pvpnctl waits for a daemon that stands still, its arguments, environment and memory are
    searched, and nobody gets a core of it."""
    host.p2pvpnd.popen.send_signal(signal.SIGSTOP)
    try:
        program = stalled(host, *argv)
        wait(f"{secret.what} to leave the memory of p2pvpnctl",
             lambda: not any(search(program.pid, [secret.raw, secret.text]).values()))
        look(program.pid, [secret])
        program.kill()
    finally:
        host.p2pvpnd.popen.send_signal(signal.SIGCONT)


def invite(what, token):
    """The seed of an invite, and the text that has it: version, network, seed, coordinators."""
    text = token.removeprefix("p2pvpn-")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return Secret(what, raw[1 + NETWORK_ID:][:32], text.encode())


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
    pid = coordinator.program.pid
    own, create = (keys_of(x, coordinator.host, pid, f"{directory}/{x}.key")[0]
                   for x in ("coordinator", "create"))
    look_at_waiting(a, create, "create", url, "--name", "a")
    # p2pvpnd may carry out what the killed p2pvpnctl asked for; its token is then nobody's.
    made = []
    wait("a to have a network", lambda: made.append(a.ctl("create", url, "--name", "a", check_rc=False).out) or
         a.json("status").get("network"))
    used, kept = (a.ctl("invite").out.strip() for _ in range(2))
    secrets = [own, create, invite("used invite", used), invite("kept invite", kept)]
    secrets += [invite("create's invite", x) for x in re.findall("p2pvpn-[A-Za-z0-9_-]{80,}", "".join(made))]
    look_at_waiting(b, secrets[2], "join", used, "--name", "b")
    wait("b to be a member", lambda: b.ctl("join", used, "--name", "b", check_rc=False) and
         b.json("status").get("network"))
    a.wait_direct(b)
    said = "".join(host.ctl(*x, "--json").out for host in (a, b) for x in (["status"], ["peers"]))
    said += a.ctl("invite", "list", "--json").out
    for host, program in ((coordinator.host, coordinator.program), (a, a.p2pvpnd), (b, b.p2pvpnd)):
        look(program.pid, secrets)
        on_disk(host, secrets)
    in_answers_and_logs(lab, said, secrets)
    check(f"`p2pvpn-coordinator url --public {coordinator.public()}` prints it" in coordinator.program.text(),
          "the log does not say where its URL is")


@scenario
def a_pipe_shows_its_secrets_to_nobody(lab):
    """The coordinator's URL and the token: both commands, their keepers, p2pvpnds and programs, with the URL as an
    argument or in the environment."""
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    url = coordinator.url()
    create, known = Secret("the URL's secret", b"", url.rsplit("c=", 1)[1].encode()), {"P2PVPN_COORDINATOR": url}
    for host in (a, b):
        host.without_root()
    for words, env in ((["--coordinator", url], None), ([], known)):
        first = a.start(lab.bin("p2pvpnctl"), "-q", "pipe", *words, "--", "cat", name="pipe", env=env)
        token = wait("the token", lambda p=first: p.must_run() or
                     re.search("p2pvpn-[A-Za-z0-9_-]{80,}", p.text())).group()
        second = b.start(lab.bin("p2pvpnctl"), "-q", "pipe", token, "--", "cat", name="pipe", env=known)
        for end in (first, second):
            wait("the program", lambda p=end: p.must_run() or "cat" in map(comm, below(p.pid)), 60)
            names = {one: comm(one) for one in below(end.pid)}
            check({"p2pvpnctl", "p2pvpnctl-keep", "p2pvpnd", "cat"} <= set(names.values()), f"who is looked at: {names}")
            for one, name in names.items():
                try:
                    look_at_words(one, name, [create, invite("the token", token)])
                except (FileNotFoundError, ProcessLookupError):
                    check(name not in ("p2pvpnctl", "p2pvpnd", "cat"), f"{name} has ended")  # a porter may have
        for end in (first, second):
            end.end()


def guarded_database(lab, password):
    """A database that wants a password from whoever comes as `guarded`."""
    db = Database(lab.host("db"))
    db.sql(f"CREATE ROLE guarded LOGIN PASSWORD '{password}'")
    db.sql("GRANT CREATE ON DATABASE postgres TO guarded")
    db.host.run("sed", "-i", "1i host all guarded all scram-sha-256", "/run/pg/data/pg_hba.conf")
    db.sql("SELECT pg_reload_conf()")
    return db


@scenario
def passwords_and_preshared_keys_are_nowhere_else(lab):
    """The secrets that configurations of both programs name: the password of a relay's user at both ends, that
    of the database, the key of the certificate, the key that is shared with a static peer."""
    in_relay, in_database = "Kuckuck-in-the-relay", "Zaunkoenig-in-the-database"
    db = guarded_database(lab, in_database)
    host = lab.host("coord")
    host.run("sh", "-c", "mkdir -p /etc/p2pvpn; umask 077; cat > /etc/p2pvpn/node.password", stdin=in_relay + "\n")
    host.run("sh", "-c", "umask 077; cat > /etc/p2pvpn/coordinator.conf",
             stdin="[turn-user node]\npassword-file = /etc/p2pvpn/node.password\n"
             f"[store]\npostgres = host={db.host.ip4} dbname=postgres user=guarded password={in_database}\n")
    host.run("chown", "p2pvpn-coordinator", "/etc/p2pvpn/coordinator.conf")
    coordinator = lab.coordinator(host)
    a = lab.host("a")
    use_turn(a, f"turn:{host.ip4}:3478?transport=tcp")
    a.run("sh", "-c", "cat > /etc/p2pvpn/turn-password", stdin=in_relay + "\n")
    shared = os.urandom(32)
    text = base64.b64encode(shared).decode()
    a.run("sh", "-c", "umask 077; cat > /etc/p2pvpn/phone.psk", stdin=text + "\n")
    a.run("sh", "-c", "cat >> /etc/p2pvpn/p2pvpnd.conf",
          stdin=f"[peer phone]\npublic-key = {base64.b64encode(os.urandom(32)).decode()}\n"
          "allowed-ips = 10.77.0.2/32\npreshared-key-file = /etc/p2pvpn/phone.psk\n")
    lab.network(coordinator, [a])
    wait("the configured relay to let it in", lambda: any(
        r["state"] == "up" for name, r in relays(a).items() if name != "coordinator"))
    pem = "/var/lib/p2pvpn-coordinator/tls.pem"
    lines = re.search("KEY-----\n(.*?)\n-----END", host.run("cat", pem).out, re.S)[1].split("\n")
    key = base64.b64decode("".join(lines))
    pid, own = coordinator.program.pid, a.p2pvpnd.pid
    of_host = [Secret("the database's password", in_database.encode(), in_database.encode(), pid,
                      at(host, "/etc/p2pvpn/coordinator.conf"), plain=True),
               Secret("the certificate's key", key, lines[0].encode(), pid, at(host, pem), plain=True)]
    of_node = [Secret("the static peer's key", shared, text.encode(), own, at(a, "/etc/p2pvpn/phone.psk"), plain=True)]
    # The relay, which checks the password, has what follows from it, and not itself.
    for machine, program, holder, path in ((host, pid, 0, "node.password"), (a, own, own, "turn-password")):
        relay = Secret("the relay's password", in_relay.encode(), in_relay.encode(), holder,
                       at(machine, f"/etc/p2pvpn/{path}"), plain=True)
        secrets = [relay, *of_host, *of_node]
        look(program, secrets)
        on_disk(machine, secrets)
    said = "".join(a.ctl(*x, "--json").out for x in (["status"], ["peers"])) + a.ctl("why", "phone", "-l").out
    said += "".join(host.run(lab.bin("p2pvpn-coordinator"), *x).out
                    for x in (["status"], ["status", "--json"], ["metrics"], ["networks"], ["homes"], ["reload"]))
    in_answers_and_logs(lab, said, secrets)


def cores_in(directory):
    return {x for x in os.listdir(directory) if re.fullmatch(r"core(\.\d+)?", x)}


def crash(pid, died):
    """SIGSEGV, with no limit of core dumps if this machine lets us lift that of the program. The names
    of those that it left where it stood."""
    where = os.open(f"/proc/{pid}/cwd", os.O_RDONLY | os.O_DIRECTORY)
    before = cores_in(where)
    with contextlib.suppress(PermissionError):
        resource.prlimit(pid, resource.RLIMIT_CORE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.kill(pid, signal.SIGSEGV)
    wait(f"{pid} to die", died)
    left = cores_in(where) - before
    for name in left:
        os.unlink(name, dir_fd=where)
    os.close(where)
    return left


def is_private(pid):
    """Does the kernel keep this process from being dumped? Then what is in /proc is root's, though the
    process is not. None: it is root's anyway, or has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            uid = next(int(x.split()[1]) for x in f if x.startswith("Uid:"))
        return None if uid == 0 else os.stat(f"/proc/{pid}/maps").st_uid == 0
    except (FileNotFoundError, ProcessLookupError):
        return None


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


@scenario
def a_crash_leaves_no_core(lab):
    """Programs that hold secrets die by SIGSEGV, and what they are leaves no core."""
    coordinator = lab.coordinator()
    a = lab.host("a")
    lab.network(coordinator, [a])
    if any("libasan" in x.name for x in mappings(a.p2pvpnd.pid)):
        raise Skip("the leak checker needs programs that can be dumped")
    plain = a.start("sleep", "1000")
    wait("sleep to begin", lambda: open(f"/proc/{plain.pid}/comm").read().strip() == "sleep")
    if not crash(plain.pid, lambda: not plain.running()):
        raise Skip("this machine does not write core dumps where a program stands")

    a.p2pvpnd.popen.send_signal(signal.SIGSTOP)
    waiting = stalled(a, "invite")
    equal(crash(waiting.pid, lambda: not waiting.running()), set(), "cores of p2pvpnctl")
    a.p2pvpnd.popen.send_signal(signal.SIGCONT)

    private = [is_private(pid) for program in (coordinator.program, a.p2pvpnd)
               for pid in below(program.pid)]
    check(False not in private and private.count(True) >= 2, f"can be dumped: {private}")
    for program in (coordinator.program, a.p2pvpnd):
        for pid in reversed(below(program.pid)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gone with another
                equal(crash(pid, lambda: not os.path.exists(f"/proc/{pid}") or state_of(pid) == "Z"),
                      set(), f"cores of {program.name}")
