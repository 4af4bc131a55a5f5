# SPDX-License-Identifier: MIT
"""Random operations of all admins on five real programs with two coordinators, which are away at times, in a network
that falls into two pieces and heals: when it is whole everybody lists the same members, admins, rules and
coordinators, the coordinators count as many, and what was asked of an admin in office holds. An admin's word in one
piece who was ended in the other may fall (PROTOCOL-NETWORK.md, "Roster"); that all agree it has to as well.
sim/reigns does the same thousands of times and knows the rule itself.

PV_CHAOS_SEED (77) repeats a run, PV_CHAOS_FAULTS (30) says how many operations; a long run has 1,000.
"""
import json
import os
import random

from lab import SLOW, Coordinator, check, equal, pause, scenario, wait

SEED = int(os.environ.get("PV_CHAOS_SEED") or 77)
OPERATIONS = int(os.environ.get("PV_CHAOS_FAULTS") or 30)
AGREE = 150  # seconds until all say the same


class Opinion:
    """The members, admins and rules, as one piece knows them."""

    def __init__(self, members, admins, rules):
        self.members, self.admins, self.rules = set(members), set(admins), set(rules)

    def copy(self):
        return Opinion(self.members, self.admins, self.rules)


class Reign:
    def __init__(self, lab):
        self.lab, self.rng = lab, random.Random(SEED)
        self.coordinators = [lab.coordinator(), Coordinator(lab, lab.host("coord2"))]
        self.hosts = {n: lab.host(n) for n in "abcde"}
        self.names = {n: n for n in self.hosts}  # of the present member, or of the last one
        self.side = dict.fromkeys(self.hosts, 0)
        self.side_of = [0, 0]                    # of the coordinators
        self.deeds, self.n, self.split = [], 0, False
        self.unheard = []                        # who left, and nobody passed it on
        first = list(self.hosts.values())
        lab.network(self.coordinators[0], first)
        self.hosts["a"].ctl("network", "coordinators", "add", self.coordinators[1].url())
        self.now = [Opinion(self.hosts, ["a"], [])] * 2
        self.before = None
        self.meet()

    # -- what is asked for --

    def opinion(self, n):
        return self.now[self.side[n]]

    def admins(self):
        return sorted(n for n in self.hosts if n in self.opinion(n).admins & self.opinion(n).members)

    def ask(self, by, *args, may_fail=False):
        """The answer. A deed here counts, also when the coordinator is told later (9)."""
        r = self.hosts[by].ctl(*args, check_rc=False, timeout=60)
        print(f"{self.n}: {by}{'/' + str(self.side[by]) if self.split else ''}# {' '.join(map(str, args))[:80]}:"
              f" {r.code} {r.err.strip().splitlines()[-1][:150] if r.err.strip() else ''}", flush=True)
        r.done = r.code == 0 or (r.code == 9 and ("is told" in r.err or "will get it" in r.err))
        check(r.done or may_fail, f"operation {self.n}: {by}# {args}: {r}")
        return r

    def did(self, by, whom=None):
        if self.split:
            self.deeds.append((self.side[by], by, whom))

    def grant(self, by, x):
        o = self.opinion("a")
        if x in o.members - o.admins:
            self.ask("a", "admin", "grant", self.names[x])
            o.admins.add(x)
            self.did("a", x)

    def revoke(self, by, x):
        o = self.opinion(by)
        if x in o.members & o.admins and x not in (by, "a"):
            self.ask(by, "admin", "revoke", self.names[x])
            o.admins.discard(x)
            self.did(by, x)

    def remove(self, by, x):
        o = self.opinion(by)
        if x in o.members and x not in (by, "a"):
            self.ask(by, "remove", self.names[x])
            o.members.discard(x)
            o.admins.discard(x)
            self.did(by, x)

    def rule(self, by, x):
        port = 20000 + self.n
        self.ask(by, "deny", "any", "any", f"tcp/{port}")
        self.opinion(by).rules.add(f"tcp/{port}")
        self.did(by)

    def leave(self, by, x):
        """Where a hears it: one who leaves unheard is a member for the others."""
        o = self.opinion(x)
        if x == "a" or x not in o.members or self.side[x] != self.side["a"] or len(o.admins) < 2:
            return
        r = self.ask(x, "leave", "--last", may_fail=True)
        if "nobody could be told" in r.err or "none has said yet that it knows" in r.err:
            self.unheard.append(self.names[x])
        elif not r.done:
            return
        o.members.discard(x)
        o.admins.discard(x)  # rights are the key's, which does not come back here
        self.did(x, x)

    def join(self, by, x):
        """A machine that is out comes with new keys and another name, by a token of that admin."""
        if any(x in o.members for o in self.now):
            return
        r = self.ask(by, "invite", may_fail=True)
        if not r.done:  # no coordinator to make it
            return
        self.side[x] = self.side[by]
        self.cut()
        self.hosts[x].ctl("leave", "--forget", "--last", check_rc=False, timeout=60)
        wait(f"{x} to have forgotten", lambda: self.hosts[x].json("status").get("network") is None, 20 * SLOW)
        self.names[x] = f"{x}{self.n}"
        self.ask(x, "join", r.out.strip(), "--name", self.names[x])
        self.opinion(x).members.add(x)
        self.did(by, x)

    def move(self, by, x):
        listed = self.hosts[by].json("network", "coordinators")["coordinators"]
        other = next((c for c in self.coordinators if c.url().split("/")[3].split("?")[0] != listed[0]["key"]), None)
        if by != "a":
            self.hosts[by].import_root(self.hosts["a"])
        self.ask(by, "network", "coordinators", "add", other.url(), may_fail=True)
        self.did(by)

    def away(self, by, x):
        c = self.rng.choice(self.coordinators)
        print(f"{self.n}: {c.host.name} is {'away' if c.program.running() else 'back'}", flush=True)
        if c.program.running():
            c.program.kill()
        else:
            c.start()

    # -- pieces --

    def cut(self):
        """Nothing passes between the sides."""
        every = [(h, self.side[n]) for n, h in self.hosts.items()]
        every += [(c.host, self.side_of[i]) for i, c in enumerate(self.coordinators)]
        for host, side in every:
            host.run("nft", "delete", "table", "inet", "pieces", check_rc=False)
            for other, there in every:
                if self.split and there != side:
                    host.nft(f"table inet pieces {{ chain in {{ type filter hook input priority 0;"
                             f" ip saddr {other.ip4} drop; ip6 saddr {other.ip6} drop; }};"
                             f" chain out {{ type filter hook output priority 0;"
                             f" ip daddr {other.ip4} drop; ip6 daddr {other.ip6} drop; }}; }}")

    def fall_apart(self, by, x):
        if self.split:
            return
        self.side = {n: 0 if n == "a" else self.rng.randrange(2) for n in self.hosts}
        self.side_of = [self.rng.randrange(2) for _ in self.coordinators]
        print(f"{self.n}: the network falls apart: {self.side} {self.side_of}", flush=True)
        self.split, self.deeds, self.before = True, [], self.now[0].copy()
        self.now = [self.before.copy(), self.before.copy()]
        self.cut()
        pause(5, "the pieces notice")

    def merge(self):
        """The wishes of the two pieces, and which machines are in doubt."""
        x, y, was = *self.now, self.before
        ended = [was.admins - (o.admins & o.members) for o in self.now]
        doubt, rules = set(), False
        for side, by, whom in self.deeds:
            if by != whom and (by in ended[1 - side] or by not in self.now[1 - side].members):
                rules = True
                doubt |= {whom} if whom is not None else set(self.hosts)
        both = [{whom for there, _, whom in self.deeds if there == side} for side in (0, 1)]
        doubt |= (both[0] & both[1]) - {None}
        whole = Opinion([], [], x.rules | y.rules)
        for n in self.hosts:
            for kind in ("members", "admins"):
                had, one, two = (n in getattr(o, kind) for o in (was, x, y))
                if (two if one == had else one):
                    getattr(whole, kind).add(n)
        out = [{n for n in was.members if n not in o.members} for o in self.now]
        whole.members -= (out[0] | out[1]) - doubt
        whole.admins &= whole.members
        return whole, doubt, rules

    def meet(self):
        """Everybody has a path to all in its piece, so that all hear of everything without a coordinator."""
        for n, h in self.hosts.items():
            for k in self.hosts:
                if n < k and n in self.opinion(n).members and k in self.opinion(n).members and (
                        not self.split or self.side[n] == self.side[k]):
                    h.run("timeout", "8", self.lab.bin("p2pvpnctl"), "ping", self.names[k], "-c", "1",
                          check_rc=False)

    def heal(self, by=None, x=None):
        whole, doubt, rules = self.now[0], set(), False
        if self.split:
            whole, doubt, rules = self.merge()
        print(f"{self.n}: the network is whole; in doubt: {sorted(doubt)}", flush=True)
        self.split = False
        self.cut()
        for c in self.coordinators:
            if not c.program.running():
                c.start()
        self.now = [whole, whole]
        self.meet()
        for name in self.unheard:
            self.ask("a", "remove", name, may_fail=True)
        self.unheard = []
        self.agree(whole, doubt, rules)
        self.side = dict.fromkeys(self.hosts, 0)

    # -- what holds --

    def list_of(self, n):
        """The word of this machine: members, admins, rules, coordinators."""
        h = self.hosts[n]
        status, peers = h.json("status"), h.json("peers")["peers"]
        own = status.get("self") or {}
        admins = {p["name"] for p in peers if p.get("admin")} | ({own["name"]} if own.get("admin") else set())
        members = {p["name"] for p in peers} | {own.get("name")}
        rules = [(r["from"], r["to"], r["ports"]) for r in h.json("rules")["rules"]]
        keys = [c["key"] for c in h.json("network", "coordinators")["coordinators"]]
        differ = [p for p in status.get("problems", []) if "other members" in p and "seen" not in p]
        return json.dumps([sorted(members), sorted(admins), rules, keys, differ])

    def heard(self):
        """The members for a, by the word of all; None: they differ, or a coordinator that is used counts others."""
        first = self.list_of("a")
        members, admins, rules, keys, differ = json.loads(first)
        inside = [n for n in self.hosts if self.names[n] in members]
        self.said = {n: self.list_of(n) for n in inside}
        counts = {}
        for i, c in enumerate(self.coordinators):
            r = c.host.run(self.lab.bin("p2pvpn-coordinator"), "networks", "--json", check_rc=False)
            found = json.loads(r.out)["networks"] if r.code == 0 else []
            counts[i] = [k["members"] for k in found if k["online"] > 0]
        self.said["coordinators"] = counts
        same = all(self.said[n] == first for n in inside) and not differ
        return json.loads(first) if same and all(set(v) <= {len(members)} for v in counts.values()) else None

    def agree(self, whole, doubt, rules):
        self.said = {}
        try:
            members, admins, ruled, _, _ = wait("all to say the same", self.heard, AGREE, every=1)
        except Exception as e:
            raise type(e)(f"{e}: {json.dumps(self.said, indent=1)}") from None
        for n, name in self.names.items():
            is_in, is_admin = name in members, name in admins
            if n in doubt:
                (whole.members.add if is_in else whole.members.discard)(n)
                (whole.admins.add if is_admin else whole.admins.discard)(n)
            equal((n, is_in, is_admin), (n, n in whole.members, n in whole.admins), f"operation {self.n}")
        ports = {r[2] for r in ruled}
        if rules:
            whole.rules = ports
        equal(sorted(ports), sorted(whole.rules), f"rules at operation {self.n}")
        self.now = [whole, whole]

    def one_more(self):
        self.n += 1
        what = self.rng.choices([self.grant, self.revoke, self.remove, self.rule, self.leave, self.join, self.move,
                                 self.away, self.fall_apart, self.heal], [3, 2, 2, 1, 1, 4, 1, 1, 1, 2])[0]
        if self.split or not all(c.program.running() for c in self.coordinators):
            self.meet()
        by, x = self.rng.choice(self.admins()), self.rng.choice(sorted(self.hosts))
        what(by, x)
        pause(0.3, "others hear it")


@scenario(long=f"{OPERATIONS} operations and more", minutes=15 + OPERATIONS // 4)
def wishes_of_admins_hold_and_all_agree(lab):
    reign = Reign(lab)
    while reign.n < OPERATIONS:
        reign.one_more()
    reign.heal()
