# SPDX-License-Identifier: MIT
"""Files: offered, accepted, resumed after kill -9 of either side, verified, saved by the user."""
import hashlib
import json
import pathlib
import re
import signal
import subprocess
import time

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


def save_dir(lab, host):
    target = scratch(lab) / f"got-{host.name}"
    target.mkdir(exist_ok=True)
    return target


def save(lab, host, number, *args):
    target = save_dir(lab, host)
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
    r = b.json("files", "accept", str(offer["id"]), "--dir", str(target))
    equal(r["path"], str(target / "photo.jpg"), "where the file is")
    equal(digest(target / "photo.jpg"), digest(source), "the saved file")
    equal(sender.ended(), 0, "exit code of send-file")
    wait("the daemon's copy to go", lambda: only(b)["state"] == "saved")
    equal(b.run("ls", "/var/lib/p2pvpn.chat/files").out, "", "what b's daemon still keeps")
    # Nothing is overwritten, and what is refused is told to the sender.
    again = send(a, "b", source, name="again")
    wait("the second offer", lambda: len(files(b)) == 2)
    r = b.ctl("files", "accept", str(files(b)[1]["id"]), "--dir", str(target), code=1)
    check("exists" in r.err, f"a file was about to be overwritten: {r}")
    r = b.ctl("files", "get", str(files(b)[1]["id"]), "--dir", str(target), "-o", "second.jpg")
    equal(r.out, f"{target}/second.jpg\n", "where the file is, by both options")
    equal(digest(target / "second.jpg"), digest(source), "the file under another name")
    equal(again.ended(), 0, "exit code of the second send-file")
    third = send(a, "b", source, name="third")
    wait("the third offer", lambda: len(files(b)) == 3)
    b.ctl("files", "refuse", "all")
    equal(third.ended(), 11, "exit code after a refusal")
    check("photo.jpg to b: refused" in third.text(), f"send-file does not say who refused: {third.text()!r}")
    others = [send(a, "b", make(scratch(lab) / name, 1000), name=name) for name in ("fourth", "fifth")]
    wait("two more offers", lambda: len(files(b)) == 5)
    r = b.ctl("files", "accept", "all", "--dir", str(target))
    equal(sorted(r.out.split()), [f"{target}/fifth", f"{target}/fourth"], "all that is accepted at once")
    equal([o.ended() for o in others], [0, 0], "exit codes of both")


@scenario
def a_file_that_waits_is_for_the_machine_that_had_the_name(lab):
    """Also where p2pvpnd was away meanwhile, to which send-file offers it again."""
    scratch(lab)
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(name) for name in ("a", "b", "carol", "d"))
    lab.network(coordinator, [b, a, c])
    a.wait_peer("carol")
    c.stop_daemon()
    wait("carol to be away", lambda: not a.peer("carol")["online"])
    source = make(scratch(lab) / "plan.txt", 17)
    sender = send(a, "carol", source)
    wait("the offer", lambda: len(files(a)) == 1)
    key = a.peer("carol")["key"]
    equal(only(a)["key"], key, "whose the file is")
    a.stop_daemon()
    b.ctl("remove", "carol")
    d.daemon()
    d.ctl("join", b.ctl("invite").out.strip(), "--name", "carol")
    a.daemon()
    wait("a to know the other one", lambda: a.peer("carol") and a.peer("carol")["key"] != key)
    check(sender.ended() != 0, "send-file says that it came to somebody")
    check("waiting for it to come back" in sender.text(), f"send-file did not see it end: {sender.text()!r}")
    equal(files(d), [], "what the other carol is offered")


@scenario
def a_file_waits_for_this_machine_to_be_up_and_says_so(lab):
    _, a, b = start(lab)
    a.ctl("room", "create", "crew")
    a.ctl("room", "invite", "crew", "b")
    wait("b to be in it", lambda: b.ctl("room", "accept", "crew", check_rc=False).code == 0)
    source = make(scratch(lab) / "plan.bin", 17)
    a.ctl("down")
    remedy = "this machine is down: `sudo p2pvpnctl up`"
    r = a.ctl("send-file", "#crew", str(source), code=7)
    check(f"{remedy}, then again" in r.err, f"a file for a room: {r}")
    sender = send(a, "b", source)
    wait("the reason", lambda: f"waiting: {remedy} goes on with it" in sender.text())
    check(f"{remedy} goes on with it" in a.ctl("files").out, "the list of files does not say it")
    check("away" not in sender.text(), f"b is not away: {sender.text()!r}")
    a.ctl("up")
    equal(sender.ended(), 0, "exit code of send-file")


@scenario
def a_file_for_a_room(lab):
    """Each member that is there is offered it; a rule keeps it from one; who is away or comes later gets nothing."""
    path = scratch(lab)
    coordinator = lab.coordinator()
    a, b, c, d, e = hosts = [lab.host(name) for name in ("a", "b", "c", "d", "e")]
    lab.network(coordinator, hosts)
    for h in hosts[1:]:
        a.wait_peer(h)
        h.wait_peer(a)
    a.ctl("room", "create", "crew")
    for h in (b, c, d):
        a.ctl("room", "invite", "crew", h.name)
        wait(f"{h.name} to be in it", lambda: h.ctl("room", "accept", "crew", check_rc=False).code == 0)
    d.stop_daemon()
    wait("d to be away", lambda: [m["name"] for m in a.json("room", "members", "crew")["members"] if not m["online"]]
         == ["d"], 40)
    a.ctl("deny", "any", "c", "files")
    wait("the rule at c", lambda: c.ctl("can", "a", "c:files", check_rc=False).code == 11)
    source = make(path / "plan.bin", 2 * MIB + 5)
    sender = send(a, "#crew", source)
    wait("b's offer", lambda: len(files(b)) == 1)
    offer = only(b)
    equal((offer["peer"], offer["name"], offer["state"]), ("a", "plan.bin", "offered"), "what b sees of the offer")
    said = f"/me offers plan.bin ({2.0} MiB) to those who are here"
    wait("the line at b", lambda: [(m["from"], m["text"]) for m in b.json("history", "#crew")["messages"]]
         == [("a", said)])
    equal(b.json("history", "#crew")["messages"][0]["id"], offer["transfer"], "the line's id and the file's")
    equal((offer["room"], files(a)[0]["room"]), ("#crew", "#crew"), "the room at both sides")
    check(re.search(r"from +a +#crew .*plan\.bin", b.ctl("files").out), b.ctl("files").out)
    b.ctl("files", "accept", str(offer["id"]), "--dir", str(save_dir(lab, b)))
    equal(digest(save_dir(lab, b) / "plan.bin"), digest(source), "b's copy")
    equal(sender.ended(), 11, "exit code of send-file, since c is not offered it")
    r = a.ctl("send-file", "#crew", source, "--no-wait", code=11)
    check("rule 1" in r.err and "c" in r.err, f"send-file does not say why: {r.err!r}")
    equal(files(c), [], "files c knows of")
    # Members that come back, or come later, read the line and are offered nothing.
    d.daemon()
    a.ctl("room", "invite", "crew", "e")
    wait("e to be in it", lambda: e.ctl("room", "accept", "crew", check_rc=False).code == 0)
    wait("the lines at d", lambda: d.ctl("history", "#crew", check_rc=False).out.count("offers plan.bin") == 2, 40)
    a.ctl("send", "#crew", "after")
    wait("e to hear", lambda: "after" in e.ctl("history", "#crew", check_rc=False).out, 40)
    equal((files(d), files(e)), ([], []), "what d and e are offered")
    # The sender's daemon dies: it is handed the file for each of them again, by the same offers.
    a.ctl("rules", "remove", "1")
    wait("no rule at c", lambda: c.ctl("can", "a", "c:files", check_rc=False).code == 0)
    wait("all to be there", lambda: all(m["online"] for m in a.json("room", "members", "crew")["members"]), 40)
    sender = send(a, "#crew", source, name="again")
    for h in (c, d, e):
        wait(f"{h.name}'s offer", lambda: [f["state"] for f in files(h)] == ["offered"])
    a.stop_daemon(signal.SIGKILL)
    a.daemon()
    for h in (c, d, e):
        h.wait_direct(a)
        h.ctl("files", "accept", str(only(h)["id"]), "--dir", str(save_dir(lab, h)), timeout=90)
        equal(digest(save_dir(lab, h) / "plan.bin"), digest(source), f"{h.name}'s copy")
    for f in files(b):
        if f["state"] == "offered":
            b.ctl("files", "refuse", str(f["id"]))
    equal(sender.ended(), 11, "exit code of send-file, since b refused")
    check("plan.bin to b: refused" in sender.text(), f"send-file does not say who refused: {sender.text()!r}")


@scenario(whole="a minute of waiting")
def a_file_for_a_room_knows_its_room(lab):
    """Also where the line is not: each offer is answered in its own room, and of a room that is muted, or not accepted,
    nothing is told."""
    _, a, b = start(lab, auto="* 1K")
    source, small = make(scratch(lab) / "plan.bin", MIB), make(scratch(lab) / "small.bin", 10)
    for room in ("crew", "team"):
        a.ctl("room", "create", room)
        a.ctl("room", "invite", room, "b")
        wait("the invitation", lambda: any(r["room"] == f"#{room}" for r in b.json("room", "list")["rooms"]))
    chat = b.start(lab.bin("p2pvpnctl"), "chat", "--lines", name="chat", stdin=subprocess.PIPE)
    wait("the invitations in the chat", lambda: chat.text().count("invited") >= 2)

    def offered(name):
        return sorted((str(f["room"]), f["state"], bool(f.get("muted"))) for f in files(b) if f["name"] == name)

    b.ctl("room", "accept", "team")
    for to in ("#crew", "#team", "b"):
        a.ctl("send-file", to, source, "--no-wait")
    a.ctl("send-file", "#crew", small, "--no-wait")
    crew, others = ("#crew", "offered", True), [("#team", "offered", False), ("None", "offered", False)]
    wait("the three offers", lambda: offered("plan.bin") == sorted([crew, *others]))
    wait("what is small", lambda: offered("small.bin") == [crew])
    check(re.search(r"from +a +#crew .*plan\.bin", b.ctl("files").out), b.ctl("files").out)
    wait("those that are told", lambda: "a offers a file in #team: " in chat.text() and "a offers a file: " in chat.text())
    check("file in #crew" not in chat.text(), chat.text())
    b.ctl("room", "accept", "crew")
    wait("both in the room", lambda: chat.text().count("a offers a file in #crew: ") == 2)
    equal(offered("plan.bin"), sorted([("#crew", "offered", False), *others]), "once the room is accepted")
    wait("what the rule takes by then", lambda: offered("small.bin") == [("#crew", "done", False)], 90)
    b.ctl("mute", "#team")
    other = make(scratch(lab) / "other.bin", MIB)
    a.ctl("send-file", "#team", other, "--no-wait")
    wait("the muted offer", lambda: offered("other.bin") == [("#team", "offered", True)])
    a.ctl("send-file", "b", other, "--no-wait")
    wait("the other one", lambda: "takes other.bin" in chat.text())
    equal(chat.text().count("takes other.bin"), 1, "how often it is told")
    chat.end()


@scenario(whole="fifty seconds of copying")
def resumes_after_kills_of_both_sides(lab):
    _, a, b = start(lab, rate="24M")  # 8 s: it is under way for longer than this takes to look
    source = make(scratch(lab) / "big.bin", 24 * MIB)
    # On a terminal, which script(1) is.
    sender = a.start("script", "-qec", f"{lab.bin('p2pvpnctl')} send-file b {source}", "/dev/null",
                     name="send")

    def arrived():
        found = files(b)
        return found[0]["done"] if found else 0
    wait("some of the file to arrive", lambda: arrived() > 4 * MIB)
    b.restart_daemon(signal.SIGKILL)
    wait("the receiver to go on where it was", lambda: arrived() > 8 * MIB, 40)
    before = arrived()
    a.restart_daemon(signal.SIGKILL)
    wait("the sender to go on where it was", lambda: arrived() > before + 2 * MIB, 40)
    equal(sender.ended(), 0, "exit code of send-file after two kills")
    equal(digest(save(lab, b, only(b)["id"]) / "big.bin"), digest(source), "the resumed file")
    equal(only(a)["state"], "done", "the sender's word about it")
    seen = sender.text()
    check(re.search(r"\[=+> *\] +\d+%  [\d.]+ MiB of 24.0 MiB  [\d.]+ [KM]iB/s  \d+ s left", seen),
          f"no progress on the terminal: {seen!r}")
    check("b has big.bin, whole and verified" in seen, f"no last word: {seen!r}")


@scenario
def a_full_disk_is_told_on_both_sides_and_hurts_nobody(lab):
    scratch(lab)
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    configure(b, "[chat]\nauto-accept = *\n")
    b.run("sh", "-ec", "mkdir -p /var/lib/p2pvpn.chat; mount -t tmpfs -o size=24m tmpfs /var/lib/p2pvpn.chat")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    b.run("dd", "if=/dev/zero", "of=/var/lib/p2pvpn.chat/ballast", "bs=1M", "count=10")
    source = make(scratch(lab) / "big.bin", 16 * MIB)
    sender = send(a, "b", source)
    wait("both sides to say that the disk is full",
         lambda: all(x and "disk is full" in (x[0]["why"] or "") for x in (files(a), files(b))))
    equal(only(b)["state"], "accepted", "what b makes of it")
    a.ctl("send", "b", "still here")
    wait("chat to go on", lambda: b.json("inbox")["messages"])
    b.run("rm", "/var/lib/p2pvpn.chat/ballast")
    b.ctl("files", "accept", str(only(b)["id"]), "--no-wait")  # not in a minute, now
    equal(sender.ended(), 0, "exit code of send-file")
    equal(digest(save(lab, b, only(b)["id"]) / "big.bin"), digest(source), "the file")


@scenario
def names_and_users_of_the_other_side_can_do_no_harm(lab):
    scratch(lab)
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    odd = scratch(lab) / "odd"
    odd.mkdir()
    hostile = [".bashrc", "-rf", "a\nb\x1b[2Jc", "gpj.\u202eexe", "..\\..\\x"]
    cleaned = ["_bashrc", "_rf", "a_b_[2Jc", "gpj._exe", "x"]
    for name in hostile:
        make(odd / name, 100)
        a.ctl("send-file", "b", str(odd / name), "--no-wait")
    wait("all offers", lambda: len(files(b)) == len(hostile))
    equal(sorted(f["name"] for f in files(b)), sorted(cleaned), "the names b sees")
    check("\x1b" not in b.ctl("files").out, "a control character on the terminal")
    target = scratch(lab) / "target"
    target.mkdir()
    for f in files(b):
        b.ctl("files", "accept", str(f["id"]), "--dir", str(target))
    equal(sorted(p.name for p in target.iterdir()), sorted(cleaned), "what was saved")
    # A link in the directory is neither followed nor overwritten.
    make(odd / "link", 100)
    (target / "link").symlink_to(target / "victim")
    a.ctl("send-file", "b", str(odd / "link"), "--no-wait")
    wait("one more offer", lambda: len(files(b)) == len(hostile) + 1)
    b.ctl("files", "accept", str(files(b)[-1]["id"]), "--dir", str(target), code=1)
    check(not (target / "victim").exists(), "a link was followed")
    # A path that is no file, or not readable, is not sent.
    a.ctl("send-file", "b", "/dev/null", code=2)
    a.ctl("send-file", "b", "/nowhere", code=1)
    for path in ("/proc/cpuinfo", "/sys/devices/system/cpu/online"):
        check("its size is not known before it is read" in a.ctl("send-file", "b", path, code=2).err, path)
    a.ctl("send-file", "nobody", str(odd / "-rf"), code=6)
    a.ctl("files", "accept", "999", code=1)
    a.ctl("files", "accept", "x", code=2)
    # A file that changes meanwhile is found out.
    big = make(odd / "big", 100)
    a.ctl("send-file", "b", str(big), "--no-wait")
    wait("the last offer", lambda: len(files(b)) == len(hostile) + 2)
    big.write_bytes(b"other bytes of the same length" + b"." * 70)
    r = b.ctl("files", "accept", str(files(b)[-1]["id"]), "--dir", str(target), code=1)
    check("changed" in r.err, f"not told that the file changed: {r}")
    wait("the sender to know", lambda: files(a)[-1]["state"] == "failed")
    # One that grows arrives as it was offered.
    log = make(odd / "log", 100)
    as_offered = log.read_bytes()
    a.ctl("send-file", "b", str(log), "--no-wait")
    wait("one more offer", lambda: files(b)[-1]["name"] == "log")
    log.write_bytes(as_offered + b"one more line")
    b.ctl("files", "accept", str(files(b)[-1]["id"]), "--dir", str(target))
    equal((target / "log").read_bytes(), as_offered, "a file that grew")


def race(a, b, source, rounds):
    """Medians in Mb/s: iperf3 for 4 s, and the file from the offer to the last word about it."""
    tcp, whole = [], []
    for _ in range(rounds):
        r = a.run("iperf3", "-J", "-t", "4", "-c", a.addr(b), timeout=60)
        tcp.append(json.loads(r.out)["end"]["sum_received"]["bits_per_second"] / 1e6)
        began = time.monotonic()
        a.ctl("send-file", "b", str(source), timeout=300)
        whole.append(source.stat().st_size * 8 / (time.monotonic() - began) / 1e6)
        b.ctl("files", "refuse", str(files(b)[-1]["id"]))
        source.touch()  # another file
    return sorted(tcp)[rounds // 2], sorted(whole)[rounds // 2]


@scenario(long="takes a minute and says something with a release build (--build) only")
def speed_beside_iperf3(lab):
    """Prints how fast a file is beside iperf3 on the same path."""
    scratch(lab)
    coordinator = lab.coordinator()
    links = {"veth": None, "200 Mb/s, 10 ms": "rate=200M"}
    for link, rate in links.items():
        name = "x" if rate else "y"
        lans = [lab.lan(name + side, "delay=5ms", rate) if rate else None for side in "ab"]
        a, b = lab.host(name + "1", lans[0]), lab.host(name + "2", lans[1])
        a.name, b.name = "a", "b"
        configure(b, "[chat]\nauto-accept = *\n")
        lab.network(coordinator, [a, b])
        a.wait_direct(b)
        b.start("iperf3", "-s")
        source = make(scratch(lab) / f"{name}.bin", (128 if rate else 1024) * MIB)
        tcp, whole = race(a, b, source, 3)
        print(f"{link}: iperf3 {tcp:.0f} Mb/s, send-file {whole:.0f} Mb/s: {whole / tcp:.2f}", flush=True)
