# SPDX-License-Identifier: MIT
"""What the operator of a coordinator does: networks, drop, secret rotate, backup, restore, upgrade."""
import json
import signal

from lab import check, equal, scenario, wait

STATE = "/var/lib/p2pvpn-coordinator"


def run(coordinator, *args, code=0, enter=()):
    """Runs the coordinator's program on its host."""
    r = coordinator.host.run(*enter, coordinator.lab.bin("p2pvpn-coordinator"), *args, check_rc=False)
    equal(r.code, code, f"exit code of {args}: {r}")
    return r


def networks(coordinator, *args):
    return json.loads(run(coordinator, "networks", "--json", *args).out)["networks"]


@scenario
def a_network_is_looked_at_and_dropped(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b])
    c.daemon()
    c.create(coordinator.url(), "--network", "guests")
    a.wait_peer(b)
    wait("everybody online", lambda: sum(n["online"] for n in networks(coordinator)) == 3)
    equal([n.get("name") for n in networks(coordinator)], [None, None], "names nobody asked for")
    named = {n["name"]: n for n in networks(coordinator, "--names")}
    guests, home = named.pop("guests"), named.popitem()[1]
    equal((guests["members"], home["members"]), (1, 2), "members")
    check(home["statements"] > guests["statements"] > 0 and home["bytes"] > guests["bytes"] > 0, str(home))
    text = run(coordinator, "networks").out
    check(home["id"] in text and " now" in text and "guests" not in text, text)
    check("guests" in run(coordinator, "networks", "--names").out, "no name")

    check("no such network" in run(coordinator, "drop", "0" * 32, code=6).err, "no reason")
    check("not the id" in run(coordinator, "drop", "guests", code=1).err, "no reason")
    run(coordinator, "drop", code=2)
    check("not permitted" in run(coordinator, "drop", guests["id"], code=5, enter=a.as_user()).err, "no reason")
    out = json.loads(run(coordinator, "drop", guests["id"], "--json").out)
    equal(out["network"], guests["id"], "what was dropped")
    equal([n["id"] for n in networks(coordinator)], [home["id"]], "what is left")
    equal(coordinator.sql("SELECT count(DISTINCT network) FROM statements"), "1", "networks on disk")
    check("no such network" in run(coordinator, "drop", guests["id"], code=6).err, "no reason")
    wait("c to be told", lambda: "does not serve that network" in c.ctl("status").out)
    check(a.os_ping(a.addr(b)), "the other network goes on")

    coordinator.restart()
    wait("a and b to come back", lambda: networks(coordinator)[0]["online"] == 2, timeout=40)
    equal([n["id"] for n in networks(coordinator)], [home["id"]], "after a restart")
    coordinator.end()
    check("start it" in run(coordinator, "networks", code=8).err, "no reason")
    check("start it" in run(coordinator, "drop", home["id"], code=8).err, "no reason")


@scenario
def a_new_secret_shuts_out_the_old_url(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    a.daemon()
    b.daemon()
    old = coordinator.url()
    new = run(coordinator, "secret", "rotate", "--public", coordinator.public()).out.strip()
    check(new != old and new == coordinator.url(), f"{old} {new}")
    r = a.ctl("create", old, "--name", "a", check_rc=False)
    check(r.code != 0 and "secret is missing or wrong" in r.err, str(r))
    a.create(new)
    # Stopped it works too, and what is printed is good after the start.
    coordinator.end()
    last = run(coordinator, "secret", "rotate", "--public", coordinator.public(), "--json").out
    coordinator.start()
    r = b.ctl("create", new, "--name", "b", check_rc=False)
    check(r.code != 0, str(r))
    b.create(json.loads(last)["url"])
    check("expected rotate" in run(coordinator, "secret", "forget", code=2).err, "no reason")


@scenario
def a_lost_coordinator_comes_back_from_its_backup(lab):
    """docs/OPERATIONS.md, "Backup and restore"."""
    coordinator = lab.coordinator()
    host = coordinator.host
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b])
    out = json.loads(run(coordinator, "backup", "/etc/p2pvpn/coordinator.backup", "--json").out)
    equal(out["networks"], 1, "networks in the backup")
    equal(host.run("stat", "-c", "%a", "/etc/p2pvpn/coordinator.backup").out.strip(), "600", "mode")
    # Later than the backup: the members bring it back.
    c.daemon()
    c.join(a.ctl("invite").out.strip())
    a.wait_peer(c)
    a.ctl("remove", "b")
    check("end that one first" in run(coordinator, "restore", "/etc/p2pvpn/coordinator.backup", code=1).err, "no reason")
    coordinator.end(signal.SIGKILL)
    host.run("sh", "-c", f"rm -rf {STATE}/*")
    r = run(coordinator, "restore", "/etc/p2pvpn/coordinator.backup")
    check("1 network" in r.out, r.out)
    coordinator.start()
    wait("the members to repair it", lambda: [(n["members"], n["online"]) for n in networks(coordinator)] == [(2, 2)],
         timeout=60)
    check(a.os_ping(a.addr(c)), "a reaches c")

    host.run("sh", "-c", "mkdir /etc/p2pvpn/small && mount -t tmpfs -o size=32k tmpfs /etc/p2pvpn/small")
    check("disk is full" in run(coordinator, "backup", "/etc/p2pvpn/small/b", code=1).err, "no reason")
    equal(host.run("ls", "/etc/p2pvpn/small").out.strip(), "", "what is left of a backup that failed")
    r = run(coordinator, "backup", "/etc/p2pvpn/b", code=5, enter=a.as_user())
    check("not writable" in r.err, r.err)


@scenario
def an_upgrade_can_be_taken_back(lab):
    """docs/OPERATIONS.md, "Upgrading": its steps, on a database with an earlier number."""
    coordinator = lab.coordinator()
    host = coordinator.host
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    coordinator.end()
    older = "import sqlite3; sqlite3.connect('coordinator.db').execute('PRAGMA user_version = 1')"
    host.run("sh", "-c", f'cd {STATE} && python3 -c "{older}"')
    for _ in range(2):
        coordinator.start()
        equal(coordinator.sql("PRAGMA user_version"), "2", "schema")
        wait("a and b to come back", lambda: networks(coordinator)[0]["online"] == 2, timeout=40)
        equal(host.run("stat", "-c", "%a", f"{STATE}/coordinator.db.before-v2").out.strip(), "600", "mode")
        coordinator.end()
        host.run("sh", "-c", f"cd {STATE} && rm -f coordinator.db-wal coordinator.db-shm && "
                 "mv coordinator.db.before-v2 coordinator.db")
        equal(coordinator.sql("PRAGMA user_version"), "1", "schema of the older version")


@scenario
def a_network_is_as_large_as_the_operator_lets_it(lab):
    coordinator = lab.coordinator()
    host = coordinator.host
    a, b, c = (lab.host(n) for n in "abc")
    lab.network(coordinator, [a, b])
    token = a.ctl("invite", "--uses", "9").out.strip()
    network = networks(coordinator)[0]["id"]

    def limit(text):
        host.run("sh", "-c", "cat >/etc/p2pvpn/coordinator.conf", stdin=text)
        coordinator.restart()
        wait("a and b to come back", lambda: networks(coordinator)[0]["online"] == 2, timeout=40)
    limit("[limits]\nmembers = 2\n")
    c.daemon()
    r = c.ctl("join", token, "--name", "c", check_rc=False)
    check(r.code != 0 and "full" in r.err, str(r))
    check(a.os_ping(a.addr(b)), "those who are in stay")
    limit(f"[limits]\nmembers = 2\n[network {network}]\nmembers = 3\n")
    c.join(token)
    a.wait_peer(c)
    host.run("sh", "-c", "cat >/etc/p2pvpn/coordinator.conf", stdin="[network home]\nmembers = 3\n")
    check("expected an id of 32 digits" in run(coordinator, "--check", code=2).err, "no reason")
