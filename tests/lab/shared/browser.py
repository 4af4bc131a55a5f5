# SPDX-License-Identifier: MIT
"""A browser on a machine of the lab: headless Chromium by chromedriver (WebDriver, W3C), without any library. A small
program on that machine sends the requests, and those that a scenario makes up itself."""
import base64
import json
import re
import shutil
import subprocess

from lab import Failure, Skip, check, wait

PORT = 9515
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver s11: the name of an element's id
ASKS = """
import json, sys, urllib.request
class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args): return None
ask = urllib.request.build_opener(Stays, urllib.request.ProxyHandler({}))
for line in sys.stdin:
    method, url, headers, body = json.loads(line)
    request = urllib.request.Request(url, method=method, headers=headers, data=None if body is None else body.encode())
    try:
        r = ask.open(request, timeout=60)
    except urllib.error.HTTPError as e:
        r = e
    except OSError as e:
        print(json.dumps([0, {}, str(e)]), flush=True)
        continue
    print(json.dumps([r.status, dict(r.headers), r.read().decode("utf-8", "replace")]), flush=True)
"""
# Chromium without windows starts for a sixth of the processor time. /usr/bin has a shell script that it would be a child of.
SHELL = "/usr/lib/chromium/chromium-headless-shell"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--user-data-dir=/run/chromium"]


# The rules of WCAG 2.2 that a program can judge of a page as it is drawn: contrast (1.4.3), headings (1.3.1), one main
# region, unique ids, and that what acts as a button can have the focus (2.1.1).
ACCESSIBLE = """
const bad = [], shown = e => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getClientRects().length > 0;
const all = css => [...document.querySelectorAll(css)].filter(shown), numbers = c => c.match(/[\\d.]+/g).map(Number);
const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
function behind(e) {
  for (; e; e = e.parentElement) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(e).backgroundColor);
    if (a > 0.9) return [r, g, b];
  }
  return [255, 255, 255];
}
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const e = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim();
  if (text === "" || !shown(e) || e.closest(":disabled, .skip, noscript, script, .node")) continue;
  const style = getComputedStyle(e), ink = numbers(e.ownerSVGElement ? style.fill : style.color), paper = behind(e);
  const [x, y] = [light(ink), light(paper)].sort((a, b) => b - a), ratio = (x + 0.05) / (y + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) bad.push(`contrast ${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
}
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
for (const id of new Set(ids)) if (ids.filter(i => i === id).length > 1) bad.push(`two have the id ${id}`);
let level = 0;
for (const h of all("h1, h2, h3, h4")) {
  const now = Number(h.tagName[1]);
  if (now > level + 1) bad.push(`a heading of level ${now} below one of ${level}: ${h.textContent}`);
  level = now;
}
if (all("h1").length !== 1) bad.push(`${all("h1").length} headings of the page`);
if (all("main").length !== 1 || all("header").length !== 1) bad.push("no main part, or no header");
if (!document.documentElement.lang || !document.title) bad.push("no language, or no title");
for (const e of all("[role=button], button, a[href], input, select, textarea"))
  if (e.tabIndex < 0 && !e.disabled) bad.push(`no key reaches ${e.outerHTML.slice(0, 80)}`);
for (const e of all("[aria-labelledby], [aria-controls], label[for]"))
  for (const id of (e.getAttribute("aria-labelledby") ?? e.getAttribute("aria-controls") ?? e.htmlFor).split(" "))
    if (!document.getElementById(id)) bad.push(`nothing has the id ${id}`);
return bad;
"""
NAMED = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "image", "img", "dialog", "navigation", "log", "progressbar"}


class Asker:
    """Sends HTTP requests from a machine."""

    def __init__(self, host):
        self.program = host.start(host.python, "-c", ASKS, name="asks", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, method, url, headers=None, body=None):
        """(status, fields, text); status 0: no answer."""
        p = self.program.popen
        p.stdin.write(json.dumps([method, url, headers or {}, body]).encode() + b"\n")
        p.stdin.flush()
        line = p.stdout.readline()
        if not line:
            raise Failure(f"nobody asks: {self.program.text()}")
        return json.loads(line)


class Browser:
    def __init__(self, host, size=(1280, 800)):
        for program in (SHELL, "chromedriver"):
            if shutil.which(program) is None:
                raise Skip(f"{program} is not installed (scripts/deps test)")
        self.driver = host.start("chromedriver", f"--port={PORT}", name="chromedriver",
                                 env={"HOME": "/run", "TMPDIR": "/run"})
        self.asker = Asker(host)
        wait("chromedriver to listen", lambda: self.asker.ask("GET", f"http://127.0.0.1:{PORT}/status")[0] == 200)
        options = {"args": FLAGS, "binary": SHELL}
        self.session = ""
        r = self.do("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome-headless-shell", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}}, whole="")
        self.session = f"/session/{r['sessionId']}"
        self.resize(*size)
        self.open("about:blank")
        self.complaints, self.urls = [], []
        self.look()
        self.complaints, self.urls = [], []  # of the page that a browser begins with

    def do(self, method, path, body=None, whole=None):
        """One command of WebDriver; its value."""
        prefix = self.session if whole is None else whole
        status, _, text = self.asker.ask(method, f"http://127.0.0.1:{PORT}{prefix}{path}",
                                         {"Content-Type": "application/json"},
                                         None if body is None else json.dumps(body))
        value = json.loads(text)["value"] if text.startswith("{") else text
        if status != 200:
            raise Failure(f"browser: {path}: {value if isinstance(value, str) else value.get('message', value)}"[:800])
        return value

    def resize(self, width, height):
        """Of the page itself, also where a window would not be as narrow."""
        self.do("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}})

    def dark(self, dark):
        self.do("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}})

    def open(self, url):
        self.do("POST", "/url", {"url": url})

    def run(self, script, *args):
        """The value that a function with this body returns; a promise is waited for."""
        return self.do("POST", "/execute/sync", {"script": script, "args": list(args)})

    def find(self, css, text=None, row=None):
        """Elements that are shown, and have this text; row: in a row of a table that has that one."""
        return self.run("""const [css, text, row] = arguments;
            return [...document.querySelectorAll(css)].filter(e => e.checkVisibility() && e.getClientRects().length > 0 &&
                (text === null || e.textContent.trim().includes(text)) && (row === null || e.closest("tr")?.textContent.includes(row)))""",
                        css, text, row)

    def one(self, css, text=None, row=None):
        try:
            return wait(f"the page to have {css} {text or ''}", lambda: self.find(css, text, row))[0]
        except Failure as e:
            raise Failure(f"{e}; at {self.run('return location.hash')} it says: {self.text('#notes')!r} {self.text('main')!r}") from e

    def act(self, what, body, css, text, row=None):
        """As a user: waits until it can be used, and nothing covers it, as a note does for some seconds. One that was drawn
        anew meanwhile is looked for again."""
        def done():
            try:
                element = self.one(f"{css}:not(:disabled)", text, row)
                self.run("arguments[0].scrollIntoView({ block: 'nearest' }); if (arguments[0].getBoundingClientRect().top < 80) "
                         "arguments[0].scrollIntoView({ block: 'center' })", element)  # from under the header
                self.do("POST", f"/element/{element[ELEMENT]}/{what}", body)
                return True
            except Failure as e:
                if not re.search("stale element|click intercepted|not interactable", str(e)):
                    raise
                return False
        wait(f"{css} {text or ''} to stay", done)

    def click(self, css, text=None, row=None):
        self.act("click", {}, css, text, row)

    def mouse(self, what, x, y):
        """A button of the mouse alone: mousePressed or mouseReleased, where it then is."""
        self.do("POST", "/goog/cdp/execute", {"cmd": "Input.dispatchMouseEvent", "params": {
            "type": what, "x": x, "y": y, "button": "left", "clickCount": 1}})

    def type(self, css, text):
        self.act("value", {"text": text}, css, None)

    def text(self, css="body"):
        return self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join('\\n')", css)

    def sees(self, text, css="body", timeout=60):
        try:
            wait(f"the page to say {text!r}", lambda: text in self.text(css), timeout)
        except Failure as e:
            raise Failure(f"{e}; {self.run('return location.href')} says:\n{self.text()}") from e

    def picture(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.do("GET", "/screenshot")))

    def barriers(self):
        """By the rules above, and by the tree that a screen reader gets: whatever one acts on there has a name."""
        bad = self.run(ACCESSIBLE)
        tree = self.do("POST", "/goog/cdp/execute", {"cmd": "Accessibility.getFullAXTree", "params": {}})["nodes"]
        roles = [(n.get("role", {}).get("value"), n.get("name", {}).get("value", "")) for n in tree if not n.get("ignored")]
        check(len(roles) > 10, f"a tree of {len(roles)}")
        return sorted(set(bad + [f"a {role} without a name" for role, name in roles if role in NAMED and not name.strip()]))

    def must_be_accessible(self, what):
        bad = self.barriers()
        check(not bad, f"{what} is hard to use for some: " + "; ".join(bad))

    def look(self):
        """Collects what the console said, and whom the pages asked."""
        self.complaints += [e["message"] for e in self.do("POST", "/se/log", {"type": "browser"}) if e["level"] != "INFO"]
        for entry in self.do("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.urls.append(message["params"]["request"]["url"])

    def must_be_clean(self, origin, expected=()):
        """No word in the console but the expected ones, and no request elsewhere."""
        self.look()
        bad = [c for c in self.complaints if not any(e in c for e in expected)]
        check(not bad, "the console says: " + "\n".join(bad))
        elsewhere = [u for u in self.urls if not u.startswith((origin, "data:", "blob:"))]
        check(not elsewhere, f"requests elsewhere: {elsewhere}")
