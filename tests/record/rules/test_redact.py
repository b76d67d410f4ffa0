from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.record.rules import assigned, tokens
from tachograph.record.rules.redact import OPT_IN, SECRETS, marker, masked, safe_end
from tests.record.fakes import KEYS, TOKENS, body

EVERY = (*SECRETS, *OPT_IN.values())
PASSWORD = "Hunter2" + body(9)

SECRET_TEXTS: list[tuple[str, str]] = [
    *((token, token) for made in TOKENS.values() for token in made),
    *((key, key) for key in KEYS),
    (f'{{"password": "{PASSWORD} and more"}}', PASSWORD),
    (f"postgres://me:{PASSWORD}@db/x", PASSWORD),
    (f"Authorization: Bearer {PASSWORD}", PASSWORD),
    (f"API_KEY={PASSWORD}", PASSWORD),
    (f"--password {PASSWORD}", PASSWORD),
    (f"Cookie: session={PASSWORD}; theme=dark", PASSWORD),
    ("mail jane.doe.smith@example-company.com", "jane.doe.smith@example-company"),
    ("call +49 170 123 45 67 89", "170 123 45 67"),
    ("pay 4111 1111 1111 1111", "4111 1111 1111 1111"),
]
"""Texts with a secret in them, and the secret."""


def test_what_is_found_gives_way_to_its_name() -> None:
    """Each match becomes a marker with the rule's name, and is counted under it; the rest stays."""
    counts: dict[str, int] = {}
    text = f"key {TOKENS['groq_key'][0]}, again {TOKENS['groq_key'][0]}; password=hunter22; jane@example.com"
    clean = masked(text, EVERY, counts)
    assert clean == "key [redacted:groq_key], again [redacted:groq_key]; password=[redacted:password]; [redacted:email]"
    assert counts == {"groq_key": 2, "password": 1, "email": 1}


def test_nothing_found_is_the_same_object() -> None:
    """A clean string comes back as it is, and nothing is counted."""
    counts: dict[str, int] = {}
    text = "a clean text with a [redacted:email] in it"
    assert masked(text, EVERY, counts) is text
    assert counts == {}


def test_the_key_of_a_value_counts() -> None:
    """Under a key of a sensitive kind a value goes that nothing else would tell."""
    counts: dict[str, int] = {}
    assert masked("open sesame", EVERY, counts, "password") == marker("password")
    assert masked("open sesame", EVERY, counts) == "open sesame"
    assert masked("Bearer abcdefgh", EVERY, counts, "authorization") == "Bearer [redacted:authorization]"
    assert counts == {"password": 1, "authorization": 1}


def test_what_is_left_is_searched_again() -> None:
    """A value that only looks like a secret when another one is out of it goes in the next round."""
    counts: dict[str, int] = {}
    assert masked("=" + KEYS[1], EVERY, counts, "api_key") == marker("api_key")
    assert counts == {"private_key": 1, "api_key": 1}


@pytest.mark.parametrize("number", range(len(SECRET_TEXTS)))
def test_a_cut_never_leaves_half_a_secret(number: int) -> None:
    """Wherever a text is cut, near its start or far behind it: after redaction no piece of the secret is left."""
    text, secret = SECRET_TEXTS[number]
    telling = secret[10:] if len(secret) > 30 else secret
    pieces = [telling[start : start + 6] for start in range(0, len(telling) - 5, 3)]
    for before in ("", "word " * 1_000):
        whole = before + text + " and then the rest of it" * 3
        for wanted in range(len(before) + 1, len(before) + len(text) + 18, 1 if len(text) < 200 else 11):
            end = safe_end(whole, wanted)
            assert max(0, wanted - 4_096) <= end <= wanted
            head = masked(f"{whole[:end]} [cut: first {end} of {len(whole)} characters]", EVERY, {})
            assert [piece for piece in pieces if piece in head[len(before) :]] == []


def test_a_cut_stays_near_where_it_was_wanted() -> None:
    """Without a secret nearby a text is cut at the start of the word, or exactly there if the word is very long."""
    assert safe_end("one two three", 10) == 7
    assert safe_end("x" * 10_000, 5_000) == 5_000
    assert (safe_end("short", 5), safe_end("short", 99), safe_end("short", 0), safe_end("short", -1)) == (5, 5, 0, 0)


fragments = st.sampled_from(
    ["password", "token", "=", ": ", '"', "'", "\\", " ", "\n", "@", "a.com", "://", "&sig=", "--password ", "Bearer ",
     "Authorization: ", "[redacted:x]", "[redacted:", "]", "hunter22", "4111 1111 1111 1111", "+49 170 1234567", "é",
     *(token for made in list(TOKENS.values())[::4] for token in made), KEYS[1]]
)  # fmt: skip


@given(st.lists(fragments, max_size=12).map("".join))
@settings(max_examples=200)
def test_redacting_again_finds_nothing_new(text: str) -> None:
    """Redaction is idempotent, whatever stands beside what."""
    once = masked(text, EVERY, {})
    counts: dict[str, int] = {}
    assert masked(once, EVERY, counts) == once
    assert counts == {}


def test_the_documentation_names_every_rule() -> None:
    """docs/redaction.md has each name that can stand in a marker."""
    text = (Path(__file__).parents[3] / "docs" / "redaction.md").read_text(encoding="utf-8")
    shapes = {shape.name for shape in tokens.SHAPES} | {name for name, *_ in tokens._ODD}
    kinds = set(assigned._WORDS.values()) - {"pass"}
    names = shapes | kinds | set(OPT_IN) | {"private_key", "url_password"}
    assert {name for name in names if f"`{name}`" not in text} == set()
