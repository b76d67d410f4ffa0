from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.web import links

HOSTILE = (
    "a/b",
    "../up",
    "a?b=c",
    "a#b",
    'a" onclick="x',
    "<script>",
    "javascript:x",
    "a b",
    "%2e",
    "é",
    "\u202e",
    "a&b=c",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_id_stays_one_segment(text: str) -> None:
    """Whatever an id is, it can neither leave its place in the path nor begin a query, nor end an attribute."""
    addresses = {
        links.run(text): 2, links.run(text, "transcript"): 3, links.deletion(text): 3, links.step(f"{text}00000003"): 4
    }  # fmt: skip
    for address, depth in addresses.items():
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
        assert not set(address) & set("\"'<> ")
        assert parts.path.count("/") == depth


@given(st.text(max_size=20))
def test_a_value_of_a_query_comes_back_as_it_was(text: str) -> None:
    """Sessions, which may be called anything, and filters are quoted so that they arrive whole."""
    text = text.encode("utf-8", "replace").decode()
    for address in (links.session(text, "acme"), links.runs(session_id=text), links.interventions(metric=text)):
        given_back = parse_qs(urlsplit(address).query)
        assert {each for values in given_back.values() for each in values} - {"acme"} == ({text} if text else set())


def test_what_is_not_asked_is_left_out() -> None:
    """None, empty and False do not stand in an address; 0 does, and True is `true`."""
    assert links.to("/x", a=None, b="", c=False) == "/x"
    assert links.to("/x", a=0, b=True, c="1 2") == "/x?a=0&b=true&c=1+2"


def test_the_same_page_with_other_parameters() -> None:
    """Changes go over what was asked; None takes a parameter away."""
    assert (
        links.again("/runs", {"status": "failed", "cursor": "x"}, cursor=None, limit=5) == "/runs?status=failed&limit=5"
    )


def test_every_page_of_the_navigation_has_an_address_of_its_own() -> None:
    """Names and paths are there once."""
    names, paths = zip(*links.NAVIGATION, strict=True)
    assert len(set(names)) == len(set(paths)) == len(links.NAVIGATION)


def test_parts_of_pages() -> None:
    """Where runs, steps, deletions and the parts of the System page are."""
    assert links.run("r1") == "/runs/r1"
    assert links.run("r1", "events", after=3) == "/runs/r1/events?after=3"
    assert links.step("r1-00000007") == "/runs/r1-00000000/steps/r1-00000007"
    assert links.deletion("r1") == "/runs/r1/delete"
    assert links.deletion("r1", "size") == "/runs/r1/delete/size"
    assert links.system() == "/system"
    assert links.system("records") == "/system/records"
    assert links.system(whole=True) == "/system?whole=true"
    assert links.compare("a", "b") == "/compare?left=a&right=b"
