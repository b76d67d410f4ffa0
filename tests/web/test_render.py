from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, PackageLoader, UndefinedError
from msgspec.structs import replace

from tachograph.web import links
from tachograph.web import render as render_module
from tachograph.web.render import Frame, render, warm

FRAME = Frame(
    here=links.RUNS, static="/static/x", missing=(), caller="reader", tenant=None, may_write=False, may_delete=False,
    token="", is_visitor=False, version="1.2.3",
)  # fmt: skip
TEMPLATES = Path(__file__).parents[2] / "src" / "tachograph" / "web" / "templates"
EVIL = """<script>alert(1)</script>"><img src=x onerror=alert(1)>' {{ 7*7 }} {% raw %}"""


class Reads(PackageLoader):
    """Knows which templates were read."""

    read: list[str]

    def get_source(self, environment: Environment, template: str) -> Any:
        """The source, and a note that it was read."""
        self.read.append(template)
        return super().get_source(environment, template)


def made_anew(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The loader of an environment that has read nothing."""
    fresh = render_module._environment.__wrapped__()
    fresh.loader = loader = Reads("tachograph.web")
    loader.read = []
    monkeypatch.setattr(render_module, "_environment", lambda: fresh)
    return loader


def problem(frame: Frame = FRAME, **values: Any) -> str:
    """The smallest page there is."""
    return render("problem.html", **{"frame": frame, "title": "Gone", "detail": "no such run", **values})


def test_text_is_text() -> None:
    """Markup, and the language of the templates, in a value is shown as it stands; nothing of it becomes an element."""
    html = problem(title=EVIL, detail=EVIL)
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "{{ 7*7 }}" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&gt;" in html


def test_all_templates_are_made_ready_before_anybody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warming reads each template once; what is asked for afterwards is there, and the first pages' come first."""
    made = made_anew(monkeypatch)
    monkeypatch.setattr(render_module, "_REST", 0)
    warm()()
    read = list(made.read)
    assert sorted(read) == sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))
    assert read[0] == "page.html"
    assert read.index("overview/overview.html") < read.index("run/timeline.html") < read.index("system.html")
    problem()
    assert made.read == read


def test_a_value_that_is_wanted_and_not_there_is_an_error() -> None:
    """A page with a hole in it is never sent."""
    with pytest.raises(UndefinedError, match="title"):
        render("problem.html", frame=FRAME, detail="")


def test_the_frame_says_where_one_is_and_who() -> None:
    """The page of the navigation is marked, a tenant is named, and a visitor can go."""
    html = problem(replace(FRAME, tenant="blue", is_visitor=True, token="tok"))
    assert re.findall(r'<a href="([^"]*)" aria-current="page">', html) == [links.RUNS]
    assert "Tenant blue" in html
    assert "Sign out" in html
    assert '<meta name="token" content="tok">' in html
    assert "Sign out" not in problem()
    assert 'name="token"' not in problem()


def test_a_library_that_is_missing_is_not_asked_for() -> None:
    """Without htmx no page names it; with it, it is named once and told to stay on this server."""
    assert problem().count("/static/x/htmx.js") == 1
    assert '"mode":"same-origin"' in problem()
    assert "htmx" not in problem(replace(FRAME, missing=("htmx.org",)))


def test_no_template_switches_escaping_off() -> None:
    """Neither `safe` nor an unescaped block, no inline script, style or handler."""
    found = {path.name: path.read_text(encoding="utf-8") for path in TEMPLATES.rglob("*.html")}
    assert len(found) > 5
    for name, text in found.items():
        assert not re.search(r"\|\s*safe|autoescape|<script>|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", text), name
        assert not re.search(r"(?:src|href|action)=[\"']https?:", text), name
        assert not re.search(r"(?<!; url)=\{\{", text), f"{name}: an attribute without quotes"
