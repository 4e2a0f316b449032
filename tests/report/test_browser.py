"""The page in a real browser: Chromium without a screen, driven through chromedriver's own protocol (WebDriver)."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hepjax.evaluation import class_curves, fpr_at_tpr
from hepjax.report.page import Picture, Section, page
from hepjax.report.page_tables import Table
from hepjax.types import Epoch, Scores

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

CLASSES = ("g", "q", "w", "z", "t")
PHONE, DESKTOP = (375, 2500), (1280, 2500)
LOOKS = [*itertools.product((PHONE, DESKTOP), (False, True))]
FLAGS = (
    "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars",
)  # fmt: skip
TAB, SPACE, LEFT, RIGHT, HOME = "\ue004", " ", "\ue012", "\ue014", "\ue011"
SHOTS = os.environ.get("HEPJAX_SCREENSHOTS")
"""A folder for pictures of the page, to be looked at."""


class Browser(NamedTuple):
    """A session of chromedriver."""

    session: str
    """Its address."""

    def ask(self, path, **body):
        request = urllib.request.Request(f"{self.session}/{path}", json.dumps(body).encode(), method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        return self.ask("execute/sync", script=script, args=list(arguments))

    def tell(self, command, **parameters):
        return self.ask("goog/cdp/execute", cmd=command, params=parameters)

    def press(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("actions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def point(self, selector, across=0.5, *, click=False):
        """Moves the mouse over an element, so far across it, and clicks."""
        x, y = self.run(
            "const e = document.querySelector(arguments[0]);"
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); const b = e.getBoundingClientRect();"
            "return [b.left + arguments[1] * b.width, b.top + b.height / 2]",
            selector,
            across,
        )
        actions = [{"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}]
        actions += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}] * click
        self.ask("actions", actions=[{"type": "pointer", "id": "mouse", "actions": actions}])

    def open(self, path, size=DESKTOP, *, dark=False, script=True, media=""):
        self.tell("Emulation.setScriptExecutionDisabled", value=not script)
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.tell("Emulation.setEmulatedMedia", media=media, features=features)
        self.logs("browser"), self.logs("performance")
        self.ask("url", url=path.as_uri())

    def logs(self, kind):
        return self.ask("se/log", type=kind)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    command = [DRIVER, "--port=0", "--allowed-ips=127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder) as driver:
        try:
            started = next(line for line in driver.stdout if "started successfully" in line)
            port = re.findall(r"\d+", started)[-1]
            root = Browser(f"http://127.0.0.1:{port}")
            chrome = {
                "binary": CHROMIUM,
                "args": [f"--{flag}" for flag in FLAGS] + [f"--user-data-dir={folder / 'profile'}"],
            }
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": chrome,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = root.ask("session", capabilities={"alwaysMatch": wanted})["sessionId"]
            one = Browser(f"{root.session}/session/{session}")
            yield one
            one.run("return 0")  # a browser that died on the way is no success
            quit_request = urllib.request.Request(one.session, method="DELETE")  # noqa: S310
            with urllib.request.urlopen(quit_request, timeout=30):  # noqa: S310
                pass
        finally:
            driver.terminate()


def toy():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 4000)
    logits = rng.normal(size=(4000, 5))
    logits[np.arange(4000), labels] += np.array([1.2, 1.6, 2.0, 2.4, 3.2])[labels]
    p = np.exp(logits)
    return Scores((p / p.sum(1, keepdims=True)).astype(np.float32), labels, np.ones(4000), CLASSES)


SCORES = toy()
AUCS = {"g": 0.91, "q": 0.87, "w": 0.93, "z": 0.89, "t": 0.97}


def metrics():
    merits = {name: {"auc": value, "background_rejection_at_0.3": 100 * value} for name, value in AUCS.items()}
    merits["t"]["background_rejection_at_0.3"] = merits["z"]["background_rejection_at_0.3"] = None
    return {
        "accuracy": 0.712,
        "loss": 0.812,
        "classes": merits,
        "pairwise_auc": {a: {b: 0.9123 for b in CLASSES if b != a} for a in CLASSES},
        "confusion": np.bincount(5 * SCORES.labels + SCORES.scores.argmax(1), minlength=25).reshape(5, 5).tolist(),
        "jets": dict.fromkeys(CLASSES, 800),
        "verdict": {"kind": "good fit", "words": "Good fit: the validation loss has levelled off."},
        "intervals": {
            "accuracy": [0.705, 0.719],
            "classes": {c: {"auc": [x - 0.01, x + 0.01]} for c, x in AUCS.items()},
            "pairwise_auc": {a: {b: [0.90, 0.92] for b in CLASSES if b != a} for a in CLASSES},
        },
        "bounds": {"t": {"background_rejection_at_0.3": 175.2}},
        "calibration": {"expected_calibration_error": 0.04},
    }


def record():
    return {
        "command": "hepjax train interaction-network --data /a/very/long/path/" + "to/jets/" * 12 + "jets.h5 --seed 3",
        "experiment": {"model": {"name": "mlp", "hidden": [64, 32]}, "data": ["/a/" + 200 * "b" + ".h5"], "seed": 3},
        "classes": list(CLASSES),
        "jets": {"train": 12000, "val": 4000, "test": 4000},
        "cost": {"parameters": 4389, "flop_per_jet": 8805},
        "fingerprint": 4176562173,
        "versions": {"hepjax": "0.1.0", "jax": "0.10.1"},
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A page with everything on it, and names that are longer than a phone is wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = tmp_path_factory.mktemp("page") / "report.html"
    figure = Figure(figsize=(6, 4))
    figure.subplots().plot([0, 1], [0, 1])
    FigureCanvasAgg(figure).print_png(picture := path.with_suffix(".png"))
    wide = Table("Rates", ("Bin", *(f"rate {i}" for i in range(12))), [("low", *(0.1 * i for i in range(12)))], "Note.")
    sections = [Section("Jets", "Some jets.", [Picture(picture.read_bytes(), "A line.", "A line")], [wide])]
    epochs = [
        Epoch(e, 0.5 + 1 / e, 0.55 + 1 / e + 0.01 * e, 0.8 - 0.4 / e, 1e-3 * 0.9**e, 1.0, 1e5) for e in range(1, 31)
    ]
    made = dt.datetime(2026, 3, 4, tzinfo=dt.UTC)
    path.write_text(page("runs/" + "long-name-" * 9, record(), metrics(), epochs, SCORES, sections, made=made))
    return path


# The colors of each text and of what lies under it; ratios as in WCAG 2.2.
CONTRAST = """
const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (color, under) => {
  context.clearRect(0, 0, 1, 1);
  for (const one of [under, color]) if (one) { context.fillStyle = one; context.fillRect(0, 0, 1, 1); }
  return [...context.getImageData(0, 0, 1, 1).data];
};
const light = (c) => c.slice(0, 3).map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (rgba(color)[3] > 250) return color;
  }
  return "white";
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const e = walker.currentNode.parentElement;
  const told = e.closest("script, title, desc, .unseen") || !e.getClientRects().length;
  if (told || !walker.currentNode.data.trim()) continue;
  const style = getComputedStyle(e), under = ground(e.closest("svg")?.parentElement ?? e);
  const ink = rgba(e.closest("svg") ? style.fill : style.color, under);
  const [a, b] = [ink, rgba(under)].map(light).sort((x, y) => y - x);
  found.push([(a + 0.05) / (b + 0.05), walker.currentNode.data.trim().slice(0, 40)]);
}
return found;
"""


@pytest.mark.parametrize("size, dark", LOOKS)
def test_it_fits_is_legible_and_quiet(browser, file, size, dark):
    browser.open(file, size, dark=dark)
    assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [size[0], size[0]]
    assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") is dark
    browser.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    assert browser.run("return document.documentElement.scrollWidth") == size[0]
    texts = browser.run(CONTRAST)
    assert len(texts) > 200
    assert [text for text in texts if text[0] < 4.5] == []
    assert browser.logs("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.logs("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert file.as_uri() in asked
    assert [url[:80] for url in asked if not url.startswith((file.as_uri(), "data:"))] == []
    if SHOTS:
        shot(browser, f"{size[0]}-{'dark' if dark else 'light'}", file, size, dark=dark)


def shot(browser, name, file, size, *, dark):
    browser.open(file, size, dark=dark)
    browser.point("#roc .touch", 0.5)
    height = browser.run("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1}
    picture = browser.tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
    Path(SHOTS, f"{name}.png").write_bytes(base64.b64decode(picture))


def column(browser, index):
    return browser.run(
        "const rows = [...document.querySelectorAll('#merit tbody tr')];"
        "return rows.map((row) => row.cells[arguments[0]].firstChild.data)",
        index,
    )


def order(browser):
    return browser.run(
        "return [...document.querySelectorAll('#merit thead th')].map((e) => e.getAttribute('aria-sort'))"
    )


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_table_sorts(browser, file, by):
    browser.open(file)
    assert column(browser, 0) == ["g", "q", "W", "Z", "t"]

    def choose(head):
        selector = f"#merit thead th[data-column='{head}'] button"
        if by == "mouse":
            browser.point(selector, click=True)
        else:
            browser.run("document.querySelector(arguments[0]).focus()", selector)
            browser.press(SPACE)

    choose(2)
    assert column(browser, 0) == ["t", "W", "g", "Z", "q"]
    assert [state for state in order(browser) if state != "none"][:1] == ["descending"]
    choose(2)
    assert column(browser, 0) == ["q", "Z", "g", "W", "t"]
    assert order(browser).count("ascending") == 1
    assert browser.run("return document.getElementById('said').textContent") == (
        "Sorted by area under the ROC curve, rising"
    )
    choose(0)
    assert column(browser, 0) == ["g", "q", "t", "W", "Z"]
    choose(3)
    assert column(browser, 3) == ["> 175.2", "93.0", "91.0", "87.0", "–"]  # noqa: RUF001 -- a bound counts as its number
    choose(3)
    assert column(browser, 3) == ["87.0", "91.0", "93.0", "> 175.2", "–"]  # noqa: RUF001 -- what is missing stays last


def expected(place):
    names = ("g", "q", "W", "Z", "t")
    curves = class_curves(SCORES).values()
    return [f"{name}{fpr_at_tpr(curve, place):.3g}" for name, curve in zip(names, curves, strict=True)]


def tip(browser, figure):
    """What stands beside the cursor; None where nothing is shown."""
    words = browser.run(
        "const e = document.querySelector(`${arguments[0]} .tip`);"
        "return e.checkVisibility() ? [...e.children].map((part) => part.textContent) : null",
        figure,
    )
    return words and [word.split(" (")[0] for word in words]


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_pointer_shows_values(browser, file, size):
    browser.open(file, size)
    assert tip(browser, "#roc") is None
    for place in (0.2, 0.5, 0.8):
        browser.point("#roc .touch", place)
        head, *values = tip(browser, "#roc")
        shown = float(head.removeprefix("Signal efficiency "))
        assert shown == pytest.approx(place, abs=0.011)
        assert values == expected(shown)
        inside = "const b = document.querySelector('#roc .tip').getBoundingClientRect(); return [b.left, b.right]"
        left, right = browser.run(inside)
        assert left >= 0
        assert right <= size[0]
    browser.point("h1")
    assert tip(browser, "#roc") is None
    browser.point("#loss .touch", 0.99)
    assert tip(browser, "#loss") == ["Epoch 30", "training0.5333", "validation0.8833"]


def test_arrow_keys_show_values(browser, file):
    browser.open(file)
    browser.run("document.querySelector('#roc .slide').focus()")
    browser.press(HOME, *[RIGHT] * 31, LEFT)
    assert tip(browser, "#roc") == ["Signal efficiency 0.31", *expected(0.31)]
    spoken = browser.run("return document.querySelector('#roc .slide').getAttribute('aria-valuetext')")
    assert spoken.startswith(f"0.31: g {expected(0.31)[0][1:]} (rejection ")
    browser.press(TAB)
    assert tip(browser, "#roc") is None


def test_a_line_can_be_hidden(browser, file):
    browser.open(file)
    browser.point("#roc .legend li:nth-child(2) button", click=True)
    assert browser.run("return document.querySelector('#roc .legend li:nth-child(2) button').ariaPressed") == "false"
    shown = "return [...document.querySelectorAll('#roc .plot path[data-line]')].map((e) => e.checkVisibility())"
    assert browser.run(shown) == [True, False, True, True, True]
    browser.point("#roc .touch", 0.5)
    assert [word[0] for word in tip(browser, "#roc")[1:]] == ["g", "W", "Z", "t"]
    browser.press(SPACE)  # the button has the focus still
    assert browser.run(shown) == [True] * 5


def ground(browser):
    return browser.run("return getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_chosen(browser, file, dark):
    browser.open(file, dark=dark)
    pressed = "return document.getElementById('theme').getAttribute('aria-pressed')"
    first = ground(browser)
    assert browser.run(pressed) == str(dark).lower()
    browser.point("#theme", click=True)
    assert browser.run(pressed) == str(not dark).lower()
    other = ground(browser)
    assert other != first
    browser.press(SPACE)
    assert ground(browser) == first
    browser.open(file, dark=not dark)
    assert ground(browser) == other


FOCUSABLE = """
return [...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")]
  .filter((e) => e.checkVisibility() && !e.disabled).length
"""
FOCUSED = """
const e = document.activeElement;
if (e === document.body) return null;
window.seen ??= new Set();
const again = seen.has(e);
seen.add(e);
const style = getComputedStyle(e), box = e.getBoundingClientRect();
return { again, outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, top: box.top + scrollY,
         height: box.height, name: e.outerHTML.slice(0, 80), inside: box.bottom > 0 && box.top < innerHeight };
"""


@pytest.mark.parametrize("size", [(375, 700), (1280, 700)])
def test_the_tab_key_reaches_everything_in_order(browser, file, size):
    browser.open(file, size)
    wanted, reached = browser.run(FOCUSABLE), []
    for _ in range(wanted + 5):
        browser.press(TAB)
        found = browser.run(FOCUSED)
        if found is None or found["again"]:
            break
        reached.append(found)
    assert len(reached) == wanted > 30
    assert [one["name"] for one in reached if not one["outline"]] == []
    assert [one["name"] for one in reached if not one["inside"]] == []
    assert "Skip to the content" in reached[0]["name"]


def test_the_skip_link_leads_past_the_contents(browser, file):
    browser.open(file)
    browser.press(TAB, "\ue007")
    assert browser.run("return document.activeElement.tagName") == "MAIN"


def test_whatever_is_met_has_a_name(browser, file):
    browser.open(file)
    nodes = browser.tell("Accessibility.getFullAXTree")["nodes"]
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in nodes
        if not node["ignored"] and "role" in node
    ]
    roles = {role for role, _ in found}
    assert roles >= {
        "banner", "navigation", "main", "contentinfo", "heading", "table", "columnheader", "rowheader", "button",
        "slider", "image", "figure", "status", "link",
    }  # fmt: skip
    named = {"button", "slider", "image", "img", "figure", "link", "table", "region", "heading", "navigation"}
    assert [role for role, name in found if role in named and not name] == []
    assert sum(role == "main" for role, _ in found) == 1
    assert ("button", "background rejection at a signal efficiency of 30%") in found
    assert ("slider", "Read values at Signal efficiency") in found
    small = browser.run(
        "return [...document.querySelectorAll('button, input, summary')].filter((e) => e.checkVisibility())"
        ".filter((e) => { const b = e.getBoundingClientRect(); return b.width < 24 || b.height < 24; })"
        ".map((e) => e.outerHTML)"
    )
    assert small == []  # WCAG 2.2, criterion 2.5.8


def test_the_command_is_copied(browser, file):
    browser.open(file)
    browser.tell("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    browser.point("#repeat .copy button", click=True)
    said = "return document.getElementById('said').textContent"
    for _ in range(50):
        if browser.run(said):
            break
        time.sleep(0.02)
    assert browser.run(said) == "Copied"
    assert browser.run("return navigator.clipboard.readText()") == record()["command"]


def test_without_its_script_it_lacks_nothing(browser, file):
    browser.open(file, PHONE, script=False)
    # chromedriver cannot run scripts then; the tree of what is shown can be read.
    nodes = browser.tell("Accessibility.getFullAXTree")["nodes"]
    found = [
        (n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"] and "role" in n
    ]
    assert [name for role, name in found if role in ("button", "slider")] == []  # none that would do nothing
    assert ("columnheader", "AUC") in found
    assert ("image", "Background efficiency over signal efficiency") in found
    assert ("DisclosureTriangle", "Values as a table") in found
    assert any("hepjax train interaction-network" in name for _, name in found)


def test_it_prints_in_light_colours(browser, file):
    browser.open(file, dark=True, media="print")
    assert ground(browser) == "rgba(0, 0, 0, 0)"
    assert browser.run("return getComputedStyle(document.body).color") == "rgb(25, 34, 44)"
    assert browser.run("return document.getElementById('theme').checkVisibility()") is False
    printed = base64.b64decode(browser.tell("Page.printToPDF", printBackground=False)["data"])
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", printed)) < 16


def test_it_opens_at_once(browser, file):
    browser.open(file)
    spent = browser.run("return performance.timing.loadEventEnd - performance.timing.navigationStart")
    assert 0 < spent < 3000
