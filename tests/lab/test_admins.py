# SPDX-License-Identifier: MIT
"""Who may invite and remove, and how that ends."""
from lab import check, equal, scenario, wait


@scenario
def what_a_former_admin_says_has_no_effect(lab):
    coordinator = lab.coordinator()
    a, b, c, d = (lab.host(n) for n in "abcd")
    lab.network(coordinator, [a, b, c])
    a.ctl("admin", "grant", "b")
    wait("b to know that it is an admin", lambda: b.json("status")["self"]["admin"], timeout=5)
    d.daemon()
    d.join(b.ctl("invite").out.strip())
    token = b.ctl("invite", "--uses", 3).out.strip()
    d.wait_peer(a)
    r = c.ctl("admin", "revoke", "b", code=11)
    check("no admin of home" in r.err, r.err)
    r = a.ctl("admin", "revoke", "b")
    check("b is no admin any more, and stays a member" in r.err, r.err)
    check("revoked too (1)" in r.err, r.err)
    wait("c to know", lambda: not c.peer("b")["admin"], timeout=5)
    wait("b to know", lambda: not b.json("status")["self"]["admin"], timeout=5)
    check(c.os_ping(c.addr(b)) and d.os_ping(d.addr(b)), "b is a member as before")
    check(c.os_ping(c.addr(d)), "whom b let in stays")
    b.ctl("invite", code=11)
    b.ctl("remove", "c", code=11)
    e = lab.host("e")
    e.daemon()
    r = e.ctl("join", token, "--name", "e", check_rc=False)
    check(r.code != 0, "a token of a former admin lets in")
    r = a.ctl("admin", "revoke", "b", check_rc=False)
    check(r.code == 1 and "b is no admin" in r.err, r.err)
    a.ctl("admin", "grant", "b")
    wait("b to be one again", lambda: b.json("status")["self"]["admin"], timeout=5)
    b.ctl("remove", "c")
    wait("c to vanish", lambda: "c" not in d.peers(), timeout=5)
    equal(sorted(a.peers()), ["b", "d"], "members at the end")


@scenario
def who_joins_by_an_invite_for_admins_becomes_one(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(n) for n in "abc")
    for h in (a, b, c):
        h.daemon()
    a.create(coordinator.url())
    r = a.ctl("invite", "--admin")
    check("becomes an admin" in r.err, r.err)
    check("open (for an admin)" in a.ctl("invite", "list").out, "invite list shows it")
    b.join(r.out.strip())
    wait("b to be an admin", lambda: b.json("status")["self"]["admin"], timeout=5)
    r = b.ctl("invite", "--admin", code=11)
    check("root key of home" in r.err, r.err)
    token = a.ctl("invite", "--admin").out.strip()
    a.stop_daemon()
    c.join(token)
    check(not c.json("status")["self"]["admin"], "nobody who may has said it yet")
    a.daemon()
    wait("c to be an admin", lambda: c.json("status")["self"]["admin"], timeout=10)
    c.wait_peer(b)
    c.ctl("remove", "b")
    wait("b to vanish", lambda: "b" not in a.peers(), timeout=5)
