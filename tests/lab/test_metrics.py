# SPDX-License-Identifier: MIT
"""Metrics as Prometheus gets them: by HTTP and by the command line, of node and coordinator."""
import json
import os
import re
import shutil
import subprocess
import tempfile

from lab import Skip, check, equal, scenario, wait

PORT = 9586
URL = f"http://127.0.0.1:{PORT}/metrics"

# Prints status, headers and body of requests; each argument is [URL, method, headers].
GET = """
import json, sys, urllib.error, urllib.request
answers = []
for url, method, headers in json.loads(sys.argv[1]):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as r:
            answers.append([r.status, dict(r.headers), r.read().decode()])
    except urllib.error.HTTPError as e:
        answers.append([e.code, dict(e.headers), e.read().decode()])
print(json.dumps(answers))
"""

# One client says nothing, seven others begin to ask and stop; then one asks as it should.
SLOW = """
import socket, sys, urllib.request
address = ("127.0.0.1", int(sys.argv[1]))
idle = [socket.create_connection(address) for _ in range(int(sys.argv[2]))]
for s in idle[1:]:
    s.sendall(b"GET /metrics HT")
with urllib.request.urlopen(f"http://127.0.0.1:{address[1]}/metrics", timeout=60) as r:
    print(r.status, len(r.read()))
"""

SAMPLE = re.compile(r'^([a-zA-Z_][a-zA-Z0-9_]*)(\{[^}]*\})? ([-+0-9.eInfNa]+)$')


def get(host, *requests):
    asked = [[r, "GET", {}] if isinstance(r, str) else r for r in requests]
    return json.loads(host.run("python3", "-c", GET, json.dumps(asked)).out)


def numbers(text):
    """{name and labels: value}; every line is looked at."""
    values, typed = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in typed, f"{name} has two types")
            typed[name] = kind
        elif not line.startswith("# HELP "):
            m = SAMPLE.match(line)
            check(m, f"no sample: {line!r}")
            key = m.group(1) + (m.group(2) or "")
            check(key not in values, f"twice: {key}")
            family = re.sub("_(bucket|sum|count)$", "", m.group(1))
            check(m.group(1) in typed or typed.get(family) == "histogram", f"no type: {line!r}")
            values[key] = float(m.group(3))
    return values


def listen(host, where, more=""):
    host.configure(f"[metrics]\nlisten = {where}\n{more}")


@scenario
def a_node_and_its_coordinator_tell_prometheus_what_they_did(lab):
    coord = lab.host("coord")
    coord.run("sh", "-c", "cat >/etc/p2pvpn/coordinator.conf",
              stdin=f"[metrics]\nlisten = [::1]:{PORT}\n")
    coordinator = lab.coordinator(coord)
    a, b = lab.host("a"), lab.host("b")
    listen(a, f"127.0.0.1:{PORT}")
    lab.network(coordinator, [a, b])
    a.wait_peer(b)
    a.ctl("wait", "--peer", "b", "--direct")
    a.ping(b, "-c", 3, "-i", 0.05, "-s", 1000)

    (status, headers, page), = get(a, URL)
    equal(status, 200, "status")
    equal(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8", "type")
    n = numbers(page)
    peer = '{peer="b",kind="member"}'
    equal(n["p2pvpn_up"], 1, "up")
    equal(n["p2pvpn_members"], 2, "members")
    equal(n["p2pvpn_peer_direct" + peer], 1, "direct")
    check(n["p2pvpn_time_to_direct_seconds_count"] >= 1, "no path was counted")
    check(n["p2pvpn_process_resident_memory_bytes"] > 1e6, "no memory")
    check(n["p2pvpn_process_open_fds"] > 10, "no descriptors")
    check(0 < n["p2pvpn_peer_rtt_seconds" + peer] < 1, "no round trip")

    # Every packet is counted, and nothing is lost that is not.
    before = n
    a.run("ping", "-q", "-c", "20", "-i", "0.01", "-s", "972", a.addr(b))

    def grown(way):
        total = f"p2pvpn_peer_{way}_bytes_total{peer}"
        return numbers(get(a, URL)[0][2])[total] - before[total]
    wait("the last answer to be counted", lambda: grown("received") >= 20 * 1000)
    for way in ("sent", "received"):
        check(20 * 1000 <= grown(way) < 20 * 1000 + 5000, f"{way}: {grown(way)} bytes")
    a.run("ping", "-q", "-c", "1", "-W", "1", "10.66.255.254", check_rc=False)
    n = numbers(a.ctl("metrics").out)
    check(n['p2pvpn_drops_total{reason="no-peer"}'] >= 1, "a packet to nobody is not counted")
    shown = a.json("status")["drops"]
    check(shown["no-peer"] >= 1, f"status: {shown}")
    for key, value in numbers(get(a, URL)[0][2]).items():
        check(not key.split("{")[0].endswith("_total") or value >= before.get(key, 0),
              f"{key} fell")

    # The coordinator's.
    ask = lambda: numbers(get(coord, URL.replace("127.0.0.1", "[::1]"))[0][2])
    n = ask()
    equal(n["p2pvpn_coordinator_nodes_online"], 2, "nodes online")
    equal(n['p2pvpn_coordinator_connections{kind="members"}'], 2, "members connected")
    check(n["p2pvpn_coordinator_requests_total"] > 5, "requests")
    by_command = numbers(coord.run(lab.bin("p2pvpn-coordinator"), "metrics").out)
    equal(set(by_command), set(n), "the command and HTTP")
    b.stop_daemon()
    wait("the node to be seen away", lambda: ask()["p2pvpn_coordinator_nodes_online"] == 1)


@scenario
def http_is_spoken_as_it_should_be_and_slow_clients_keep_nobody_out(lab):
    a = lab.host("a")
    listen(a, f"127.0.0.1:{PORT}")
    a.daemon()
    answers = get(a, f"http://localhost:{PORT}/metrics", f"http://127.0.0.1:{PORT}/",
                  [URL, "POST", {}], [URL, "HEAD", {}], [URL, "GET", {"Host": "evil.example"}])
    equal([x[0] for x in answers], [200, 404, 405, 200, 403], "status")
    equal([len(x[2]) > 1000 for x in answers], [True, False, False, False, False], "page")
    check(int(answers[3][1]["Content-Length"]) > 1000, "no length for HEAD")

    # Eight places are all there are: who asks as it should gets its answer once they are given up.
    r = a.run("python3", "-c", SLOW, str(PORT), "8", timeout=90)
    equal(r.out.split()[0], "200", "status beside slow clients")
    equal(a.ctl("status", "-l", code=0).code, 0, "the daemon")


@scenario
def an_address_that_cannot_be_served_is_said_before_anything_runs(lab):
    a = lab.host("a")
    d = lab.bin("p2pvpnd")
    listen(a, f"0.0.0.0:{PORT}")
    r = a.run(d, check_rc=False)
    equal(r.code, 2, "exit code")
    check("allow-remote = on" in r.err, f"no remedy: {r.err}")
    a.configure("[metrics]\nallow-remote = on\n")
    a.daemon()
    check(get(a, URL.replace("127.0.0.1", a.ip4))[0][0] == 200, "not served to others")


EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dist", "examples")
ALERTS = os.path.join(EXAMPLES, "prometheus-alerts.yml")
SCRAPED = {"instance", "job", "le"}  # labels that Prometheus itself gives


def expressions():
    """Of the alerts, and of the dashboard with its variables as Grafana would put them."""
    with open(ALERTS, encoding="utf-8") as f:
        found = re.findall(r"^ +expr: (.*)$", f.read(), re.M)
    with open(os.path.join(EXAMPLES, "grafana-dashboard.json"), encoding="utf-8") as f:
        dashboard = json.load(f)
    check(len(found) > 10, f"alerts: {found}")
    panels = [t["expr"] for p in dashboard["panels"] for t in p.get("targets", [])]
    check(len(panels) > 30, f"panels: {panels}")
    asked = re.findall(r"label_values\((\w+), instance\)", json.dumps(dashboard["templating"]))
    equal(len(asked), 2, "variables")
    return found + asked + [e.replace("$__rate_interval", "5m").replace("$node", ".*").replace("$coordinator", ".*") for e in panels]


def unknown_words(expr, families):
    """Metrics and labels of an expression that no program has. A label counts where its metric has it."""
    bad = []
    for name, matchers in re.findall(r"\b(p2pvpn_\w+)(?:\{([^}]*)\})?", expr):
        family = name if name in families else re.sub("_(bucket|sum|count)$", "", name)
        bad += [] if family in families else [name]
        for label in re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers):
            bad += [] if label in families.get(family, set()) | SCRAPED else [f"{name}{{{label}}}"]
    labels = set().union(*families.values()) | SCRAPED
    for group in re.findall(r"\bby \(([^)]*)\)", expr):
        bad += [label for label in re.split(r",\s*", group) if label not in labels]
    return bad


@scenario
def alerts_and_dashboard_ask_for_what_the_programs_have(lab):
    coordinator = lab.coordinator()
    a, b = lab.host("a"), lab.host("b")
    lab.network(coordinator, [a, b])
    a.wait_direct(b)
    a.ping(b)
    families = {}
    for page in (a.ctl("metrics").out, coordinator.host.run(lab.bin("p2pvpn-coordinator"), "metrics").out):
        families.update({line.split()[2]: set() for line in page.splitlines() if line.startswith("# TYPE ")})
        for name, labels in re.findall(r"^(\w+)\{([^}]*)\}", page, re.M):
            family = name if name in families else re.sub("_(bucket|sum|count)$", "", name)
            families[family] |= set(re.findall(r'(\w+)="', labels))
    # Families that have no sample here: of static users, rules and a pair of NATs (docs/guide/metrics.md).
    families["p2pvpn_coordinator_relay_user_bytes_total"] |= {"user"}
    families["p2pvpn_rules_denied_total"] |= {"rule"}
    families["p2pvpn_path_attempts_total"] |= {"result", "nat", "peer_nat"}
    for expr in expressions():
        equal(unknown_words(expr, families), [], expr)
    equal(unknown_words('p2pvpn_nothing{x="1"}', families), ["p2pvpn_nothing", "p2pvpn_nothing{x}"], "what would be found")


@scenario
def alerts_and_dashboard_are_what_prometheus_reads(lab):
    if shutil.which("promtool") is None:
        raise Skip("promtool is not installed (scripts/deps long)")
    def reads(path):
        return subprocess.run(["promtool", "check", "rules", path], text=True, capture_output=True, check=False)
    r = reads(ALERTS)
    check(r.returncode == 0, r.stdout + r.stderr)
    with tempfile.TemporaryDirectory() as folder:
        def rules_of(exprs):
            path = os.path.join(folder, "rules.yml")
            with open(path, "w", encoding="utf-8") as f:
                json.dump({"groups": [{"name": "x", "rules": [{"record": f"x:{i}", "expr": e} for i, e in enumerate(exprs)]}]}, f)
            return reads(path)
        r = rules_of(expressions())
        check(r.returncode == 0, r.stdout + r.stderr)
        check(rules_of(["sum by (p2pvpn_up"]).returncode != 0, "promtool takes anything")


def told(host, *args):
    """The past, as `events` tells it."""
    r = host.ctl("events", "--past", "--json", *args)
    return [json.loads(line) for line in r.out.splitlines()]


@scenario
def events_tell_what_happens_in_the_words_of_status_and_why(lab):
    coordinator = lab.coordinator()
    a, b, c = (lab.host(x) for x in "abc")
    lab.network(coordinator, [a, b])
    stream = a.start(lab.bin("p2pvpnctl"), "events", "--json", name="events")
    wait("the stream to begin", lambda: '"now"' in stream.text())
    heard = [0]

    def happened(kind, what, who):
        """Told at once, and kept for those who ask later."""
        def seen():
            live = [json.loads(line) for line in stream.text().splitlines()]
            found = [e for e in live if (e["event"], e.get("what"), e.get("who")) == (kind, what, who) and
                     e["seq"] > heard[0]]
            return found[0] if found else None
        e = wait(f"{kind} {what} {who}", seen)
        heard[0] = e["seq"]
        kept = [k for k in told(a) if k["event"] == kind and k["seq"] == e["seq"]]
        check(len(kept) == 1 and kept[0]["text"] == e["text"] and kept[0]["time"] == e["time"], f"{e} is kept as {kept}")
        return e, kept[0]

    token = a.ctl("invite").out.strip()
    c.daemon()
    c.join(token)
    e, _ = happened("member", "joined", "c")
    check(c.addr() in e["text"], e)
    happened("member", "online", "c")
    a.wait_direct(c)
    e, _ = happened("path", "direct", "c")
    check("c is reached directly at" in e["text"] and e["path"]["type"] == "direct" and
          e["cause_code"] == "direct_well", e)
    b.ctl("send", "a", "a secret word")
    e, kept = happened("message", "received", "b")
    check(e["message"]["text"] == "a secret word" and "secret" not in json.dumps(kept), (e, kept))
    a.ctl("allow", "b", "c", "tcp/22")
    happened("rules", "changed", None)
    a.ctl("rename", "c", "d")
    happened("member", "renamed", "d")
    coordinator.end()
    happened("coordinator", "away", a.json("status")["coordinator"]["address"])
    e = wait("the problem", lambda: [x for x in told(a) if x["event"] == "problem" and x["what"] == "came"])[-1]
    check(e["text"] in a.json("status")["problems"] or "cannot reach" in e["text"], e)
    coordinator.start()
    happened("coordinator", "connected", a.json("status")["coordinator"]["address"])
    wait("the problem to go", lambda: [x for x in told(a) if x["event"] == "problem" and x["what"] == "gone"])
    a.ctl("remove", "d")
    happened("member", "removed", "d")

    numbers = [x["seq"] for x in told(a) if x["event"] not in ("now", "missed")]
    equal(numbers, list(range(numbers[0], numbers[0] + len(numbers))), "the numbers of events")
    equal(told(a, "--since", "1h")[0], {"format": 1, "event": "missed", "count": None}, "what was before p2pvpnd began")
    # A user of the group sees it, as `status` and `inbox`; others reach no socket.
    alice = a.run(*a.as_user(), lab.bin("p2pvpnctl"), "events", "--past")
    check("d was removed from the network" in alice.out, alice)
    check(all(len(line) < 300 for line in alice.out.splitlines()), alice)
    equal(a.ctl("events", "--timeout", 1).code, 0, "the exit code after its time")

    # A reload that finds nothing new disturbs nobody, and one that does keeps what happened.
    last = told(a)[-1]["seq"]
    a.ctl("reload")
    equal(told(a)[-1]["seq"], last, "the newest event after a reload without anything new")
    check(a.json("status")["coordinator"]["connected"], "the coordinator, after it")
    a.configure("[chat]\nkeep = 30d\n")
    stream.end()
    a.ctl("reload")
    wait("the coordinator again", lambda: a.json("status")["coordinator"]["connected"])
    past = told(a)
    check([x for x in past if x.get("text") == "d was removed from the network"], f"the past: {past}")
    check(not [x for x in past if "has no network" in x.get("text", "")], f"a false problem: {past}")


@scenario(whole="half a minute of waiting")
def figures_of_the_past_are_drawn_and_kept_over_a_restart(lab):
    a, b = (lab.host(x) for x in "ab")
    lab.network(lab.coordinator(), [a, b])
    a.wait_direct(b)
    check(a.os_ping(a.addr(b), count=20), "no answers")

    def rows():
        return a.json("stats", "b")["minutes"]
    began = wait("the first minute to be over", lambda: len(rows()["path"]) and rows(), 150, every=1)
    check(began["step"] == 60 and began["path"][-1] == "d" and began["rtt_ms"][-1] is not None, began)
    check(abs(began["tx_bytes"][0] - 20 * 84) < 5000, began)
    a.restart_daemon()
    equal(rows()["tx_bytes"][0], began["tx_bytes"][0], "what the first minute carried, after the restart")
    day = a.json("stats")["peers"]
    equal([(x["peer"], x["sums"]["day"]["tx_bytes"] > 0) for x in day], [("b", True)], "the peers")
    for drawn in (a.ctl("stats", "b").out, a.ctl("stats").out):
        check("round trip" in drawn and all(len(line) <= 80 for line in drawn.splitlines()), drawn)
    for locale, is_ascii in (("C", True), ("C.UTF-8", False)):
        drawn = a.run("env", f"LC_ALL={locale}", lab.bin("p2pvpnctl"), "stats", "b").out
        check(drawn.isascii() == is_ascii and ("#" if is_ascii else "█") in drawn, drawn)
    equal(a.ctl("stats", "nobody", check_rc=False).code, 6, "the exit code about nobody")
