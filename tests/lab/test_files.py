# SPDX-License-Identifier: MIT
"""Files: offered, accepted, resumed after kill -9 of either side, verified, saved by the user."""
import hashlib
import pathlib
import signal

from lab import check, equal, scenario, sh, wait

MIB = 1 << 20


def configure(host, text):
    host.run("sh", "-c", "cat >/etc/p2pvpn/p2pvpnd.conf", stdin=text)


def start(lab, auto="*", delay="10ms", rate=None):
    scratch(lab)  # before any host has a view of its own
    coordinator = lab.coordinator()
    setting = ["profile=port-restricted", f"delay={delay}"] + ([f"rate={rate}"] if rate else [])
    a = lab.host("a", lab.lan("east", *setting))
    b = lab.host("b", lab.lan("west", *setting))
    if auto:
        configure(b, f"[chat]\nauto-accept = {auto}\n")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    b.wait_direct(a)
    return coordinator, a, b


def scratch(lab):
    """A directory that every host sees and that goes with the lab: the lab's own /dev/shm."""
    path = pathlib.Path("/dev/shm/files")
    if not path.exists():
        sh("mount", "-t", "tmpfs", "tmpfs", "/dev/shm")
        path.mkdir()
    return path


def send(host, to, path, *args, name="send"):
    return host.start(host.lab.bin("p2pvpnctl"), "send-file", to, str(path), *args, name=name)


def make(path, size):
    """Bytes that differ everywhere, quickly."""
    block = hashlib.blake2b(path.name.encode()).digest() * 16384
    with open(path, "wb") as f:
        left = size
        n = 0
        while left > 0:
            part = (n.to_bytes(8, "big") + block)[:left]
            f.write(part)
            left -= len(part)
            n += 1
    return path


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def files(host):
    return host.json("files")["files"]


def only(host):
    found = files(host)
    equal(len(found), 1, f"files {host.name} knows")
    return found[0]


def save(lab, host, number, *args):
    target = scratch(lab) / f"got-{host.name}"
    target.mkdir(exist_ok=True)
    host.ctl("files", "get", str(number), "--dir", str(target), *args)
    return target


@scenario
def asked_accepted_and_saved(lab):
    _, a, b = start(lab, auto=None)
    source = make(scratch(lab) / "photo.jpg", 3 * MIB + 17)
    sender = send(a, "b", source)
    wait("b to hear of the file", lambda: len(files(b)) == 1)
    offer = only(b)
    equal((offer["direction"], offer["peer"], offer["name"], offer["size"], offer["state"]),
          ("in", "a", "photo.jpg", 3 * MIB + 17, "offered"), "what b sees of the offer")
    target = scratch(lab) / "here"
    target.mkdir()
    b.ctl("files", "accept", str(offer["id"]), "--dir", str(target))
    equal(digest(target / "photo.jpg"), digest(source), "the saved file")
    equal(sender.popen.wait(timeout=10), 0, "exit code of send-file")
    wait("the daemon's copy to go", lambda: only(b)["state"] == "saved")
    equal(b.run("ls", "/var/lib/p2pvpn/files").out, "", "what b's daemon still keeps")
    # Nothing is overwritten, and what is refused is told to the sender.
    again = send(a, "b", source, name="again")
    wait("the second offer", lambda: len(files(b)) == 2)
    r = b.ctl("files", "accept", str(files(b)[1]["id"]), "--dir", str(target), code=1)
    check("exists" in r.err, f"a file was about to be overwritten: {r}")
    b.ctl("files", "get", str(files(b)[1]["id"]), "-o", str(target / "second.jpg"))
    equal(digest(target / "second.jpg"), digest(source), "the file under another name")
    equal(again.popen.wait(timeout=10), 0, "exit code of the second send-file")
    third = send(a, "b", source, name="third")
    wait("the third offer", lambda: len(files(b)) == 3)
    b.ctl("files", "refuse", str(files(b)[2]["id"]))
    equal(third.popen.wait(timeout=10), 11, "exit code after a refusal")


@scenario
def resumes_after_kills_of_both_sides(lab):
    _, a, b = start(lab, rate="60M")
    source = make(scratch(lab) / "big.bin", 24 * MIB)
    sender = send(a, "b", source)

    def arrived():
        found = files(b)
        return found[0]["done"] if found else 0
    wait("some of the file to arrive", lambda: arrived() > 4 * MIB, 20)
    b.restart_daemon(signal.SIGKILL)
    wait("the receiver to go on where it was", lambda: arrived() > 8 * MIB, 40)
    before = arrived()
    a.restart_daemon(signal.SIGKILL)
    wait("the sender to go on where it was", lambda: arrived() > before + 2 * MIB, 40)
    equal(sender.popen.wait(timeout=60), 0, "exit code of send-file after two kills")
    equal(digest(save(lab, b, only(b)["id"]) / "big.bin"), digest(source), "the resumed file")
    equal(only(a)["state"], "done", "the sender's word about it")
