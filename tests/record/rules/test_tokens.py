from __future__ import annotations

import base64
import json
import uuid
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.record.rules import tokens
from tachograph.record.rules.rule import Span
from tests.record.fakes import BASE62, CONTEXTS, TOKENS, URLSAFE, body

EXAMPLES = [(name, token) for name, made in TOKENS.items() for token in made]
IDS = [f"{name} {number}" for number, (name, _) in enumerate(EXAMPLES)]

HARMLESS = (
    "the task-list, the disk-usage and the risk-assessment of desk-research-in-long-hyphenated-words",
    "sk-learn-compatible-estimators-and-other-long-slugs",
    '<div class="sk-estimator-doc-link sk-toggleable__label-arrow" id="sk-container-id-1">',
    "sk-short1 hf_hub_download npm_config_registry_url_for_all_packages ghp_ AKIA ASIA",
    "pypi-publish-workflow-with-a-long-name-2024 secret_manager_client_for_this_project",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b and f572d396fae9206628714fb2ce00f72e94f2258f",
    sha256(b"x").hexdigest(),
    str(uuid.UUID(int=2**127 + 7)),
    "call_" + body(24) + " toolu_" + body(24) + " msg_" + body(24) + " chatcmpl-" + body(29) + " resp_" + body(48),
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode(),
    "eyJustAWord and eyJ" + body(40) + " without a second part",
    "https://example.com/a/very/long/path/SKU/SKELETON/" + body(30, "abcdefghijklmnopqrstuvwxyz"),
    "test_that_a_function_with_a_long_name_is_found_in_the_module and SOME_LONG_CONSTANT_NAME_IN_CAPITALS",
    "xai-grok and groq gsk_ or pplx-70b-online-with-long-context-window-size",
)


@pytest.mark.parametrize(("name", "token"), EXAMPLES, ids=IDS)
def test_each_kind_of_token_is_found_whole(name: str, token: str) -> None:
    """A token is found from its first to its last character, and nothing beside it."""
    assert list(tokens.find(token)) == [Span(0, len(token), name)]
    assert list(tokens.find(f"it is {token}, I think")) == [Span(6, 6 + len(token), name)]


@pytest.mark.parametrize(("name", "token"), EXAMPLES, ids=IDS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_the_screen_lets_every_token_pass(name: str, token: str, context: str) -> None:
    """Wherever in JSON a token stands, the screen over the raw bytes says yes."""
    assert tokens.screen(CONTEXTS[context](token).encode()), name


def test_a_bearer_token_goes_and_its_scheme_stays() -> None:
    """Of `Bearer <token>` only the token goes."""
    token = body(30)
    assert list(tokens.find(f"Bearer {token}")) == [Span(7, 37, "bearer")]
    assert list(tokens.find("bearer of the very-long-hyphenated-compound-word")) == []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_a_little_like_a_token_stays(text: str) -> None:
    """Hashes, UUIDs, ids of calls, Base64, CSS classes, long names and slugs are no secrets."""
    assert list(tokens.find(text)) == []


def test_prose_and_code_do_not_pass_the_screen() -> None:
    """Ordinary text is not searched at all."""
    prose = json.dumps({"content": "A question about refunds, in well-known words.\nThank you!" * 20})
    code = json.dumps("def some_function_with_a_long_name(self, other_long_argument_name):\n    return None\n" * 20)
    assert (tokens.screen(prose.encode()), tokens.screen(code.encode())) == (False, False)


@given(st.text(BASE62, max_size=3), st.sampled_from(EXAMPLES), st.text(" .,:;!?\"'()<>\n\té鍵", min_size=1, max_size=3))
def test_a_token_inside_a_longer_word_is_none(before: str, example: tuple[str, str], after: str) -> None:
    """Behind letters or digits a beginning is no beginning; behind anything else it is."""
    name, token = example
    found = [span for span in tokens.find(f"{before}{token}{after}") if span.name == name]
    whole = Span(len(before), len(before) + len(token), name)
    assert (whole in found) == (not before) or name in ("slack_webhook", "telegram_token", "azure_client_secret")


@given(st.text(URLSAFE + ' .\n\\"sk-', max_size=400))
def test_what_is_found_passes_the_screen(text: str) -> None:
    """The screen never says no to a text in which something is found, plain or as JSON."""
    if list(tokens.find(text)):
        assert tokens.screen(text.encode())
        assert tokens.screen(json.dumps(text).encode())
