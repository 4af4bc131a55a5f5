# SPDX-License-Identifier: MIT
"""A browser as the relay's client: headless Chromium gathers candidates from the coordinator and moves data over it."""
import html
import json
import os
import re
import shutil
import urllib.parse

from lab import Skip, check, equal, scenario, wait

CONF = """[turn-user alice]
password-file = /etc/p2pvpn/alice.password
"""
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "webrtc.html")
PORT = 9222  # of Chromium's debugger, whose list of pages has their titles
TITLES = """
import json, urllib.request
pages = json.load(urllib.request.urlopen("http://127.0.0.1:%d/json/list", timeout=5))
print("".join(p["title"] for p in pages if p["type"] == "page"))
""" % PORT


def coordinator(lab):
    if shutil.which("chromium") is None:
        raise Skip("chromium is not installed (scripts/deps test)")
    host = lab.host("coord")
    host.run("mkdir", "-p", "/etc/p2pvpn")
    host.run("sh", "-c", "cat > /etc/p2pvpn/coordinator.conf", stdin=CONF)
    host.run("sh", "-c", "cat > /etc/p2pvpn/alice.password", stdin="s3cret\n")
    return lab.coordinator(host, args=["--tls-listen", "0.0.0.0:443"])


def pin(coordinator):
    """The pin that Chromium takes instead of an authority: base64 of the same hash that nodes are told."""
    text = re.search(r"pin=([\w-]+)", coordinator.program.text()).group(1)
    return text.replace("-", "+").replace("_", "/") + "="


def browse(host, server, ways):
    """The page's findings about each way."""
    ask = {"host": server.public(), "user": "alice", "password": "s3cret", "ways": ways}
    url = f"file://{PAGE}#" + urllib.parse.quote(json.dumps(ask))
    program = host.start(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--user-data-dir=/run/chromium",
        f"--remote-debugging-port={PORT}",
        f"--ignore-certificate-errors-spki-list={pin(server)}", url, env={"TMPDIR": "/run"})

    def done():
        program.must_run()
        r = host.run("python3", "-c", TITLES, check_rc=False)
        return r.out.strip() if r.out.startswith("{") else None
    result = json.loads(html.unescape(wait("the page to be done", done, timeout=120, every=0.5)))
    program.end()
    return result


def is_relayed(result, way, by):
    check("error" not in result[way], f"{way}: {result[way]}")
    relay = result[way]["relay"]
    equal((relay["local"], relay["remote"], relay["by"]), ("relay", "relay", by), f"{way}: the pair")
    equal(relay["counts"], [200, 200], f"{way}: messages both ways")


@scenario(long="takes a while")
def a_browser_gathers_and_talks_over_the_relay(lab):
    """Two connections of one page, both relayed here: by UDP, TCP and TLS (by the certificate's pin)."""
    server = coordinator(lab)
    browser = lab.host("browser", lab.lan("east", "profile=port-restricted", "delay=5ms"))
    result = browse(browser, server, ["udp", "tcp", "tls"])
    for way in ("udp", "tcp", "tls"):
        is_relayed(result, way, way)
        equal(result[way]["types"], ["host", "relay", "srflx"], f"{way}: candidates")
    server.program.must_run()


@scenario(long="takes a while")
def a_browser_without_udp_talks_over_tls(lab):
    server = coordinator(lab)
    browser = lab.host("browser", lab.lan("east", "profile=port-restricted", "udp=off"))
    result = browse(browser, server, ["tls"])
    is_relayed(result, "tls", "tls")
    equal(result["tls"]["types"], ["host", "relay"], "candidates: no UDP gets out")
