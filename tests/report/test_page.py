"""The page: it tells what metrics say and no more, loads nothing, and no name in a file can become part of it."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import hashlib
import html.parser
import itertools
import json
import math
import re
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import hepjax
from hepjax.errors import InputError
from hepjax.report.page import PAPERS, Picture, Section, page
from hepjax.report.page_tables import Table
from hepjax.report.style import color_luminance, legible_color, line_color
from hepjax.report.summary import Summary
from hepjax.types import Epoch, Scores

CLASSES = ("g", "q", "w", "z", "t")
MADE = dt.datetime(2026, 3, 4, 5, 6, tzinfo=dt.UTC)
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAIAAAA2iEnWAAAAEElEQVR42mP8z8AARAwQCgAf7gMB3a7v0QAAAABJRU5ErkJggg=="
)
EMPTY = {"br", "img", "input", "link", "meta"}
KEYS = ("background_rejection_at_0.3", "background_rejection_at_0.5", "background_rejection_at_0.8")


def toy(jets=2000, classes=CLASSES, seed=0, weights=None):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), jets)
    logits = 1.3 * rng.normal(size=(jets, len(classes)))
    logits[np.arange(jets), labels] += 2
    p = np.exp(logits)
    weights = np.ones(jets) if weights is None else weights(rng, jets)
    return Scores((p / p.sum(axis=1, keepdims=True)).astype(np.float32), labels, weights, tuple(classes))


def history(epochs=30):
    return [
        Epoch(e, 0.5 + 1 / e, 0.55 + 1 / e + 0.01 * e, 0.8 - 0.4 / e, 1e-3 * 0.8**e, 1.0, 1e5)
        for e in range(1, epochs + 1)
    ]


def about(value):
    return [0.9 * value, 1.2 * value]


def old_metrics(classes=CLASSES):
    of_class = {
        "auc": 0.9,
        "tpr_at_fpr_0.1": 0.7,
        "tpr_at_fpr_0.01": 0.3,
        **dict(zip(KEYS, (None, 41.25, 5.5), strict=True)),
    }
    n = len(classes)
    return {
        "accuracy": 0.6543,
        "loss": 0.9876,
        "classes": {name: of_class | {"auc": 0.8 + 0.01 * i} for i, name in enumerate(classes)},
        "pairwise_auc": {a: {b: 0.9123 for b in classes if b != a} for a in classes},
        "confusion": [[60.0 if i == j else 10.0 for j in range(n)] for i in range(n)],
        "jets": dict.fromkeys(classes, 60 + 10 * (n - 1)),
        "best_epoch": 10,
        "verdict": {"kind": "good fit", "words": "Good fit: the validation loss has levelled off."},
    }


def new_metrics(classes=CLASSES):
    old = old_metrics(classes)
    point = {"wanted_efficiency": 0.5, "efficiency": 0.5, "threshold": 0.4321, "mistag_rate": 0.0123}
    intervals = {
        "efficiency_interval": [0.48, 0.52], "threshold_interval": [0.41, 0.45], "mistag_interval": [0.0112, 0.0135]
    }  # fmt: skip
    empty = dict.fromkeys([*point, *intervals])
    return old | {
        "effective_jets": dict.fromkeys(classes, 77.7),
        "intervals": {
            "accuracy": [0.6432, 0.6654],
            "loss": [0.95, 1.02],
            "classes": {
                name: {key: value and about(value) for key, value in found.items()}
                for name, found in old["classes"].items()
            },
            "pairwise_auc": {a: {b: [0.9012, 0.9234] for b in found} for a, found in old["pairwise_auc"].items()},
        },
        "bounds": {classes[-1]: {KEYS[0]: 75.25}},
        "calibration": {
            "temperature": 1.125, "expected_calibration_error": 0.0456, "expected_calibration_error_scaled": 0.0234
        },
        "working_points": {name: [point | intervals, empty] for name in classes},
    }  # fmt: skip


def record(classes=CLASSES):
    return {
        "format": 1,
        "command": "hepjax train mlp --data 'my jets.h5' --out run-7",
        "experiment": {
            "model": {"name": "mlp", "hidden": [64, 32], "norm": "none"},
            "data": ["/data/my jets.h5"],
            "val": [],
            "test": [],
            "seed": 42,
            "folds": None,
            "balance": False,
        },
        "classes": list(classes),
        "jets": {"train": 3000, "val": 1000, "test": 1001},
        "cost": {"parameters": 4389, "flop_per_jet": 8805},
        "fingerprint": 4176562173,
        "devices": ["cpu:0"],
        "versions": {"hepjax": "0.1.0", "jax": "0.10.1", "python": "3.11.7"},
    }


SECTIONS = (
    Section("Mass sculpting", "Efficiency in bins.", (Picture(PNG, "A jet.", "Two pixels"),)),
    Section(
        "Mistag rates",
        tables=(
            Table("By pT", ("bin", "rate", "jets"), (("low", (0.1, 0.09, 0.12), 1234), ("high", None, 5)), "In GeV."),
        ),
    ),
)


class Reader(html.parser.HTMLParser):
    """What a browser makes of the page: elements with their attributes, and the text in each."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.unbalanced = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "inside": [one["tag"] for one in self.open], **dict(attributes)}
        self.elements.append(element)
        if tag not in EMPTY:
            self.open.append(element)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1]["tag"] != tag:
            self.unbalanced.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [e for e in self.elements if e["tag"] == tag and all(e.get(k) == v for k, v in attributes.items())]

    def one(self, tag, **attributes):
        (found,) = self.all(tag, **attributes)
        return found


def read(*arguments, **keywords):
    return Reader(page(*arguments, **{"made": MADE, **keywords}))


@pytest.fixture(scope="module")
def scores():
    return toy()


@pytest.fixture(scope="module")
def whole(scores):
    return read("run-7", record(), new_metrics(), history(), scores, SECTIONS)


def section(reader, key):
    return reader.one("section", id=key)["text"]


def test_it_says_which_model_on_which_data(whole):
    assert whole.one("h1")["text"] == "run-7"
    said = section(whole, "summary")
    for words in ("mlp, 4,389 parameters", "hidden 64 32, norm none", "/data/my jets.h5", "4176562173", "1,001 test"):
        assert words in said, words
    assert "classes g, q, W, Z, t" in said


def test_it_says_how_good_and_how_sure(whole):
    assert whole.one("p", **{"class": "lede"})["text"] == (
        "The tagger names the right one of 5 classes for 65.4% of 500 test jets (68% interval 64.3% to 66.5%). "
        "The mean AUC is 0.820, from 0.800 for g to 0.840 for t."
    )
    assert "68% intervals: what other" in section(whole, "summary")
    assert "Good fit The validation loss has levelled off." in section(whole, "summary")


def test_it_says_how_to_repeat_it(whole):
    said = section(whole, "repeat")
    for words in (
        "hepjax train mlp --data 'my jets.h5' --out run-7",
        "pip install hepjax==0.1.0 jax==0.10.1",
        "Python 3.11.7",
        "cpu:0",
        "4176562173",
        "04 March 2026, 05:06",
        f"by hepjax {hepjax.__version__}",
        "All 9 options",
    ):
        assert words in said, words
    options = re.findall(r"(model\.hidden|seed|balance|folds)(64 32|42|false|–)", said)  # noqa: RUF001
    assert dict(options) == {"model.hidden": "64 32", "seed": "42", "balance": "false", "folds": "–"}  # noqa: RUF001


def rows(text, caption):
    """The cells of a table's body, as texts."""
    table = next(part for part in text.split("<table") if f"<caption>{caption}</caption>" in part)
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    return [
        [re.sub("<[^>]*>", "|", cell).strip("|").replace("||", "|") for cell in re.findall("<t[hd].*?</t[hd]>", row)]
        for row in body.split("<tr>")[1:]
    ]


def test_figures_of_merit_stand_with_their_intervals(scores):
    text = page("r", record(), new_metrics(), history(), scores)
    found = rows(text, "Each class against all others")
    assert found[0] == [
        "g", "100", "78", "0.8000|0.7200 to 0.9600", "0.700|0.630 to 0.840", "0.300|0.270 to 0.360",
        "–", "41.2|37.1 to 49.5", "5.5|5.0 to 6.6",  # noqa: RUF001
    ]  # fmt: skip
    assert found[-1][6] == "&gt; 75.2|95% C.L."
    assert "lower bound at 95% confidence: too few background jets" in text
    assert rows(text, "Thresholds, and what passes them")[:2] == [
        ["g", "efficiency 0.5", "0.4321|0.4100 to 0.4500", "0.500|0.480 to 0.520", "0.0123|0.0112 to 0.0135"],
        ["g", "–", "–", "–", "–"],  # noqa: RUF001
    ]
    assert rows(text, "AUC of each pair of classes")[0][:2] == ["g", "–"]  # noqa: RUF001
    assert rows(text, "AUC of each pair of classes")[0][2] == "0.912|0.901 to 0.923"
    assert rows(text, "Which class the tagger names, for jets of each class")[0] == ["g", "60.0|60", *["10.0|10"] * 4]


def test_notes_explain_only_what_is_there():
    metrics = new_metrics()
    dash = "A dash: too few jets to say anything."
    assert dash in page("r", record(), metrics)
    whole = metrics | {"bounds": {name: {KEYS[0]: 75.25} for name in CLASSES}}
    assert dash not in page("r", record(), whole)
    assert "lower bound" not in page("r", record(), metrics | {"bounds": {}})


def test_the_confusion_of_a_class_without_jets_is_dashes():
    metrics = old_metrics() | {"confusion": [[0.0] * 5, *old_metrics()["confusion"][1:]]}
    found = rows(page("r", record(), metrics), "Which class the tagger names, for jets of each class")
    assert found[0] == ["g", *["–"] * 5]  # noqa: RUF001


def test_roc_readings_are_those_of_a_slow_loop(scores, whole):
    found = told(whole, "roc")
    assert [line["name"] for line in found["lines"]] == ["g", "q", "W", "Z", "t"]
    for c, line in enumerate(found["lines"]):
        signal = np.sort(scores.scores[scores.labels == c, c])[::-1]
        background = scores.scores[scores.labels != c, c]
        for place in (10, 50, 80):
            passing = math.ceil(place / 100 * len(signal))
            between = [np.mean(background >= signal[k - 1]) for k in (passing - 1, passing)]
            words = line["words"][place - 1]
            assert between[0] * 0.99 <= float(words.split()[0]) <= between[1] * 1.01
            assert ("rejection" in words) == (float(words.split()[0]) > 0)


def told(reader, key):
    """What the script of the page knows of a chart."""
    at = next(i for i, e in enumerate(reader.elements) if e.get("id") == key)
    return json.loads(next(e for e in reader.elements[at:] if e.get("class") == "readings")["text"])


def test_the_reliability_is_that_of_a_slow_loop(scores, whole):
    confidence, right = scores.scores.max(1).astype(np.float64), scores.scores.argmax(1) == scores.labels
    expected = []
    for low in range(15):
        chosen = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if chosen.any():
            expected.append((confidence[chosen].mean(), right[chosen].mean(), chosen.mean()))
    found = told(whole, "reliability")
    assert len(expected) > 8
    assert [float(head) for head in found["heads"]] == pytest.approx([one[0] for one in expected], abs=6e-4)
    numbers = [re.findall(r"[\d.]+", words) for words in found["lines"][0]["words"]]
    assert [float(some[0]) for some in numbers] == pytest.approx([one[1] for one in expected], abs=6e-4)
    assert [float(some[-1]) for some in numbers] == pytest.approx([100 * one[2] for one in expected], abs=0.06)
    assert all(float(some[1]) <= float(some[0]) <= float(some[2]) for some in numbers)
    said = section(whole, "calibration")
    assert "error is 0.0456, and 0.0234 with a temperature of 1.125, fitted on the validation part" in said


def test_the_history_marks_its_best_epoch_and_leaves_gaps():
    epochs = [*history(12), Epoch(13, math.nan, math.nan, math.nan, 1e-3, 1.0, 1e5)]
    reader = read("r", record(), old_metrics(), epochs)
    charts = [told(reader, key) for key in ("loss", "accuracy", "rate")]
    assert [len(some["lines"]) for some in charts] == [2, 1, 1]
    assert charts[0]["lines"][1]["y"][-1] is None
    assert {e["text"] for e in reader.all("text", **{"class": "mark"})} == {"best: 10"}
    assert "Learning rate over" not in page("r", record(), old_metrics(), [epochs[0]])  # it does not change


def test_a_long_history_is_thinned_and_keeps_what_counts():
    epochs = [Epoch(e, 1.0, 1.0 - 0.5 * (e == 7777), 0.5, 1e-3, 1.0, 1e5) for e in range(1, 20_001)]
    text = page("r", record(), old_metrics(), epochs)
    assert len(text) < 500_000
    assert {"1", "7777", "20000"} <= set(told(Reader(text), "loss")["heads"])


def test_older_runs_show_what_there_is():
    reader = read("r", {"experiment": {}}, {"accuracy": 0.5, "loss": 1.0, "classes": {"q": {"auc": None}}})
    assert "Not known: this run has neither intervals nor several trainings." in section(reader, "summary")
    assert [e["id"] for e in reader.all("section")] == ["summary", "merit", "repeat"]
    text = page("r", record(), old_metrics(), history())
    assert "68%" not in text[text.index("<body") :]
    assert "How sure these numbers are is not known" in text
    read("r", {}, {})


def test_many_trainings_show_their_spread_and_each():
    old = old_metrics()
    spread = {"accuracy": 0.0123, "loss": 0.02, "classes": {"g": {"auc": 0.0045}}}
    metrics = old | {"spread": spread, "members": {"fold-1": old, "fold-2": old | {"accuracy": 0.7}}}
    text = page(
        "r", record(), metrics | {"verdict": {"kind": "many", "words": "2 trainings: accuracy 0.65"}}, history()
    )
    assert "65.4%</strong> of 500 test jets (± 1.2% from training to training)" in text
    assert rows(text, "Each class against all others")[0][2] == "0.8000|± 0.0045"
    assert rows(text, "The 2 trainings of this run") == [
        ["fold-1", "0.6543", "0.9876", "0.8200", "10"],
        ["fold-2", "0.7000", "0.9876", "0.8200", "10"],
    ]
    assert "2 trainings: accuracy 0.65" in text
    assert "training with the lowest validation loss" in text


def test_further_sections_are_shown(whole):
    assert "Efficiency in bins." in section(whole, "section-1")
    picture = whole.one("img")
    assert (picture["alt"], picture["width"], picture["height"]) == ("Two pixels", "2", "3")
    assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")) == PNG
    assert "low0.10.09 to 0.121,234\nhigh–5" in section(whole, "section-2")  # noqa: RUF001
    assert "In GeV." in section(whole, "section-2")


def test_a_picture_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"picture 'A jet\.': expected the bytes of a PNG file, found b'GIF89a'"):
        page("r", record(), old_metrics(), sections=[Section("Jets", pictures=[Picture(b"GIF89a", "A jet.", "A jet")])])


def test_bad_scores_are_refused():
    with pytest.raises(InputError, match="scores"):
        page("r", record(), old_metrics(), scores=toy()._replace(scores=np.full((2000, 5), np.nan)))


def test_weights_are_no_hindrance():
    weighted = toy(weights=lambda rng, n: rng.uniform(0.5, 2, n))
    assert "roc" in {e.get("id") for e in read("r", record(), old_metrics(), scores=weighted).elements}


def test_one_class_alone_has_no_curves():
    alone = toy()._replace(labels=np.zeros(2000, np.int64))
    assert "curves" not in {e.get("id") for e in read("r", record(), old_metrics(), scores=alone).elements}


HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<!--<script>",
    "' onmouseover='alert(1)",
    "]]></style><svg onload=alert(1)>&amp;&#60;",
    "{{ 7 * 7 }}{% raw %}{# gone #}",
)  # fmt: skip


def replaced(tree, word):
    """The same tree with a word added to every key that is a name and to every text."""
    if isinstance(tree, dict):
        return {key: replaced(value, word) for key, value in tree.items()}
    if isinstance(tree, list):
        return [replaced(value, word) for value in tree]
    return tree + word if isinstance(tree, str) else tree


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_names_stay_text(word, scores):
    classes = tuple(name + word for name in CLASSES)
    hostile = replaced(record(classes) | {"classes": list(classes)}, word)
    hostile["experiment"][word] = {word: word}
    hostile["versions"][word] = word
    metrics = new_metrics(classes)
    metrics["verdict"] = {"kind": word, "words": word}
    metrics["members"] = {word: old_metrics(classes)}
    sections = [Section(word, word, [Picture(PNG, word, word)], [Table(word, (word, word), [(word, word)], word)])]
    plain_sections = [Section("a", "a", [Picture(PNG, "a", "a")], [Table("a", ("a", "a"), [("a", "a")], "a")])]
    plain_metrics = new_metrics() | {"verdict": {"kind": "a", "words": "a"}, "members": {"fold-1": old_metrics()}}
    plain_record = copy.deepcopy(record())
    plain_record["experiment"]["a"] = {"a": "a"}
    plain_record["versions"]["a"] = "a"
    plain = read("a" * len(word), plain_record, plain_metrics, history(), scores, plain_sections)
    found = read(word, hostile, metrics, history(), scores._replace(classes=classes), sections)
    assert not found.unbalanced
    assert [e["tag"] for e in found.elements] == [e["tag"] for e in plain.elements]
    assert [sorted(e) for e in found.elements] == [sorted(e) for e in plain.elements]  # no attribute more
    assert found.one("h1")["text"] == word
    assert record()["command"] + word in found.all("code")[1]["text"]
    assert told(found, "roc")["lines"][0]["name"] == "g" + word
    text = page(word, hostile, metrics, history(), scores._replace(classes=classes), sections)
    assert text.count("</script") == text.count("<script") == len(found.all("script"))


@hypothesis.given(st.text(), st.text())
@hypothesis.settings(max_examples=30)
def test_any_text_is_shown_as_it_is(name, command):
    text = page(name, {"command": command}, {}, made=MADE)
    text.encode()
    found = Reader(text)
    assert not found.unbalanced
    # A reader of HTML makes one line end of all kinds.
    assert found.one("h1")["text"] == name
    if command:
        assert found.all("code")[0]["text"] == command


def test_a_path_that_is_no_text_can_be_written():
    page("r", {"command": "hepjax \udcff"}, {}).encode()


def test_numbers_that_are_none_are_shown_as_they_are():
    metrics = {"accuracy": "high", "classes": {"q": {"auc": "<b>", "tpr_at_fpr_0.1": math.nan}}, "confusion": [["a"]]}
    text = page("r", record(), metrics | {"jets": {"q": 5}})
    assert rows(text, "Each class against all others") == [["q", "5", "&lt;b&gt;", "–"]]  # noqa: RUF001


def test_nothing_is_loaded(whole, scores):
    text = page("run-7", record(), new_metrics(), history(), scores, SECTIONS)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    for element in whole.elements:
        for key in ("src", "href", "action", "data", "poster", "srcset"):
            assert element.get(key, "#").startswith(("#", "data:")), element


def test_only_the_pages_own_script_may_run(whole):
    policy = whole.one("meta", **{"http-equiv": "Content-Security-Policy"})["content"]
    (script,) = [e for e in whole.all("script") if "type" not in e]
    digest = base64.b64encode(hashlib.sha256(script["text"].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_the_page_is_sound(whole):
    assert not whole.unbalanced
    assert not whole.open
    assert whole.one("html")["lang"] == "en"
    ids = [e["id"] for e in whole.elements if "id" in e]
    assert len(ids) == len(set(ids))
    for element in whole.elements:
        for key in ("aria-labelledby", "aria-describedby"):
            assert element.get(key, ids[0]) in ids
        assert element.get("href", "#")[1:] in {*ids, "", "ata:,"}
        assert element["tag"] not in ("a", "button") or "nav" in element["inside"] or element["text"].strip()
    assert {e["tag"] for e in whole.elements} >= {"header", "nav", "main", "footer"}


def test_headings_go_down_one_by_one(whole):
    levels = [int(e["tag"][1]) for e in whole.elements if re.fullmatch("h[1-6]", e["tag"])]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_tables_pictures_and_charts_have_names(whole):
    assert len(whole.all("table")) == len(whole.all("caption")) > 6
    assert all(e.get("scope") in ("col", "row", "colgroup") for e in whole.all("th"))
    assert all(e.get("alt") for e in whole.all("img"))
    charts = whole.all("svg", role="img")
    assert len(charts) == len(whole.all("title")) - 1 == len(whole.all("desc")) == 5
    assert all(e.get("aria-hidden") or e.get("role") or "svg" in e["inside"] for e in whole.all("svg"))


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("look", range(10))
def test_lines_stand_out(paper, look):
    light, dark = sorted(map(color_luminance, (legible_color(line_color(look), paper), paper)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_a_million_jets_give_a_small_page_soon():
    many = toy(1_000_000)
    start = time.process_time()
    text = page("r", record(), new_metrics(), history(), many)
    assert time.process_time() - start < 15
    assert len(text) < 500_000


def test_another_task_says_first_what_it_likes():
    summary = Summary(
        [("The mass is known to ", "7.5 GeV", ".")], [("Resolution", "7.5 GeV", "half of the 68% interval")]
    )
    reader = read("r", {"experiment": {}}, {"loss": 0.5}, summary=summary)
    assert reader.one("p", **{"class": "lede"})["text"] == "The mass is known to 7.5 GeV."
    assert "Resolution7.5 GeVhalf of the 68% interval" in section(reader, "summary")
    assert "cross-entropy" not in section(reader, "summary")
    assert not read("r", {}, {"accuracy": 0.5}, summary=Summary()).all("p", **{"class": "lede"})
