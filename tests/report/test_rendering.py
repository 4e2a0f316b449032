"""The templates: whatever is put in stays text, wherever a template puts it."""

from __future__ import annotations

import re
from importlib import resources

import jinja2
import pytest

from hepjax.report.page import Picture
from hepjax.report.page_tables import Table
from hepjax.report.rendering import render_template, template_environment

FOLDER = resources.files("hepjax.report").joinpath("templates")
TEMPLATES = sorted(file.name for file in FOLDER.iterdir())
VALUE = "\0"
HOSTILE = "\"'<b onclick=x>{{ 7 * 7 }}{% raw %}{# #}&amp;</script>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + bytes([0, 0, 0, 2, 0, 0, 0, 3])


def html_of(name):
    """A template's HTML, with `VALUE` where it puts one in; attributes that `xmlattr` writes are left out."""
    text = re.sub(r"{#.*?#}|{%.*?%}", "", FOLDER.joinpath(name).read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"{{(?:(?!}}).)*\|xmlattr.*?}}", "", text, flags=re.DOTALL)
    return re.sub(r"{{.*?}}", VALUE, text, flags=re.DOTALL)


@pytest.mark.parametrize("name", TEMPLATES)
class TestTemplates:
    def test_it_compiles_and_escapes(self, name):
        template = template_environment().get_template(name)
        assert template.environment.autoescape is True
        source = FOLDER.joinpath(name).read_text(encoding="utf-8")
        assert not re.search(r"\bsafe\b|autoescape|Markup|{%-? *raw", source)

    def test_values_in_tags_are_quoted(self, name):
        for element in re.findall(r"<[a-zA-Z][^>]*>", html_of(name)):
            assert VALUE not in re.sub(r'"[^"]*"', "", element), element
            assert not re.search(r"\son\w+=", element), element  # no script in an attribute
            for address in re.findall(r'(?:href|src|action)="([^"]*)"', element):
                assert address.startswith(("#", "data:,")), element

    def test_scripts_hold_nothing_but_the_pages_own_and_json(self, name):
        source = FOLDER.joinpath(name).read_text(encoding="utf-8")
        for inside in re.findall(r"<script[^>]*>(.*?)</script>", source, flags=re.DOTALL):
            assert inside in ("{{ script }}", "{{ chart_readings(chart)|tojson }}")


def test_text_stays_text():
    table = Table(HOSTILE, (HOSTILE,), ((HOSTILE, HOSTILE),), HOSTILE)
    section = {
        "key": "k",
        "words": HOSTILE,
        "charts": (),
        "pictures": [Picture(PNG, HOSTILE, HOSTILE)],
        "tables": [table],
    }
    text = render_template("section.html.jinja", section=section)
    escaped = "&#34;&#39;&lt;b onclick=x&gt;{{ 7 * 7 }}{% raw %}{# #}&amp;amp;&lt;/script&gt;"
    assert text.count(escaped) == 9
    assert HOSTILE not in text
    assert "<b" not in text


def test_a_name_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render_template("section.html.jinja")


def test_attributes_cannot_be_invented():
    with pytest.raises(ValueError, match="Invalid character in attribute name"):
        template_environment().from_string("<p{{ {name: 1}|xmlattr }}>").render(name="a onclick=x")
