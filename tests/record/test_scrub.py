from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.errors import SettingsError
from tachograph.events.content import Content
from tachograph.record.rules.redact import marker
from tachograph.record.sanitize import to_json
from tachograph.record.scrub import DROPPED, Scrubber
from tests.record.fakes import CONTEXTS, KEYS, TOKENS, body

EXAMPLES = [(name, token) for name, made in TOKENS.items() for token in made] + [("private_key", key) for key in KEYS]
KEY = TOKENS["groq_key"][0]


# ---- the corpus -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_secret_goes_from_every_place(context: str) -> None:
    """Wherever in JSON a secret stands, exactly it gives way to its marker, it is counted, and nothing else changes."""
    scrubber = Scrubber()
    place = CONTEXTS[context]
    for name, secret in EXAMPLES:
        text, counts = scrubber.scrub(place(secret))
        assert json.loads(text) == json.loads(place(marker(name)))
        assert counts is not None
        assert list(counts) == [name]
        assert scrubber.scrub(text) == (text, None)


@pytest.mark.parametrize(
    "text",
    [
        '{"role":"user","content":"Where is the task-list, and which disk-space is left?"}',
        '{"sha": "3f786850e387550fdab836ed7e6dc881de23001b", "id": "550e8400-e29b-41d4-a716-446655440000"}',
        '{"tool_call_id": "call_abcdefGHIJ0123456789klmn", "usage": {"total_tokens": 1200}}',
        '{"properties": {"password": {"type": "string"}}, "required": ["password"]}',
        '{"email": "jane@example.com", "phone": "+49 170 1234567", "card": 4111111111111111}',
        '"\\ud83d\\ude00 \\u00e9\\n"',
        "[1, 2.50, 1E5, true, null, []]",
        "",
    ],
)
def test_clean_text_is_the_same_object(text: str) -> None:
    """A text without secrets comes back as it is: the same object, not a copy, and nothing is counted."""
    assert Scrubber().scrub(text)[0] is text
    assert Scrubber().scrub(text)[1] is None


def test_secrets_in_keys_are_told_apart() -> None:
    """Two keys of a dict that are secrets both go, and neither value is lost."""
    first, second = TOKENS["github_token"][:2]
    text, counts = Scrubber().scrub(json.dumps({first: 1, second: 2}))
    assert json.loads(text) == {"[redacted:github_token]": 1, "[redacted:github_token]#2": 2}
    assert counts == {"github_token": 2}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('["password\\u003dhunter22"]', '["password=[redacted:password]"]'),
        (f'{{"\\u0073k-{body(48)}": 1}}', '{"[redacted:api_key]": 1}'),
        ('"https:\\/\\/me:hunter2@example.com\\/"', '"https://me:[redacted:url_password]@example.com/"'),
        ('"password\\t=\\thunter22"', '"password\\t=\\t[redacted:password]"'),
    ],
)  # fmt: skip
def test_unusual_escapes_hide_nothing(text: str, clean: str) -> None:
    """Letters, slashes and tabs that are spelled as escapes are read as what they are."""
    assert Scrubber().scrub(text)[0] == clean


def test_text_that_is_not_json_is_searched_as_it_is() -> None:
    """A broken line of a log, or a plain text handed over as JSON, keeps no secret either."""
    assert Scrubber().scrub(f'{{"a": "{KEY}') == ('{"a": "[redacted:groq_key]', {"groq_key": 1})
    assert Scrubber().scrub(f"password=hunter22 and {KEY}")[0] == "password=[redacted:password] and [redacted:groq_key]"


# ---- levels ---------------------------------------------------------------------------------------------------------

PERSONAL = '{"mail":"jane@example.com","call":"+49 170 1234567","pay":4111111111111111}'


def test_full_keeps_everything_but_secrets() -> None:
    """At level full only secrets go, and the opt-in rules that were chosen."""
    content = Scrubber().capture(f'["{KEY}","jane@example.com"]', full_size=9_999, marks=("cut",))
    text = '["[redacted:groq_key]","jane@example.com"]'
    assert content == Content(text, None, len(text), 9_999, {"groq_key": 1}, ("cut",), "full")
    chosen = Scrubber(redact=["email", "card"]).capture(PERSONAL)
    clean = '{"mail":"[redacted:email]","call":"+49 170 1234567","pay":"[redacted:card]"}'
    assert chosen == Content(clean, None, len(clean), None, {"email": 1, "card": 1}, (), "full")


def test_redacted_has_all_rules() -> None:
    """At level redacted people's data go too."""
    clean = '{"mail":"[redacted:email]","call":"[redacted:phone]","pay":"[redacted:card]"}'
    counts = {"email": 1, "phone": 1, "card": 1}
    assert Scrubber(level="redacted").capture(PERSONAL) == Content(
        clean, None, len(clean), None, counts, (), "redacted"
    )


def test_hashed_keeps_a_keyed_hash_of_the_masked_text() -> None:
    """At level hashed equal texts have equal hashes under one key, others under another; secrets are not in them."""
    one, other = Scrubber(level="hashed", key=b"one"), Scrubber(level="hashed", key=b"other" * 40)
    content = one.capture('"hello"', marks=("nul",))
    expected = blake2b(b'"hello"', digest_size=32, key=b"one").hexdigest()
    assert content == Content(None, expected, 7, None, None, ("nul",), "hashed")
    assert other.capture('"hello"').hash != expected
    assert one.capture(f'"{KEY}"').hash == one.capture(f'"gs{"k_" + body(52, salt="other")}"').hash
    assert not one.keeps_content


def test_none_keeps_only_the_size() -> None:
    """At level none nothing of a text is kept but its size in bytes, its full size and its marks."""
    content = Scrubber(level="none").capture('"né"', full_size=50, marks=("cut",))
    assert content == Content(None, None, 5, 50, None, ("cut",), "none")


def test_size_is_that_of_the_stored_bytes() -> None:
    """The size counts UTF-8 bytes after masking."""
    content = Scrubber().capture(f'"é {KEY}"')
    assert content.text == '"é [redacted:groq_key]"'
    assert content.size == len(content.text.encode())


def test_lone_surrogates_are_replaced() -> None:
    """Text that UTF-8 cannot spell is repaired and marked, at every level."""
    assert Scrubber().capture('"a\ud800"') == Content('"a\ufffd"', None, 6, None, None, ("surrogate",), "full")
    assert Scrubber(level="none").capture('"\ud800"') == Content(None, None, 5, None, None, ("surrogate",), "none")


# ---- rules and functions of the user's own --------------------------------------------------------------------------


def test_own_patterns_are_rules() -> None:
    """A pattern of one's own masks what it matches, or only its group named secret, and is counted under its name."""
    scrubber = Scrubber(patterns={"order": r"ORD-\d+", "pin": r"PIN (?P<secret>\d{4})", "code_name": "Blue Moon"})
    text, counts = scrubber.scrub('{"ORD-1": "PIN 1234, ORD-22", "x": "Blue Moon"}')
    assert text == '{"[redacted:order]": "PIN [redacted:pin], [redacted:order]", "x": "[redacted:code_name]"}'
    assert counts == {"order": 2, "pin": 1, "code_name": 1}
    assert scrubber.scrub(text) == (text, None)


def test_an_own_pattern_that_matches_markers_does_no_harm() -> None:
    """What was redacted is not redacted again by a pattern that would match the marker."""
    scrubber = Scrubber(patterns={"all": r".+", "word": "redacted"})
    text, _ = scrubber.scrub('["one", "two"]')
    assert text == '["[redacted:all]", "[redacted:all]"]'
    assert scrubber.scrub(text) == (text, None)


def test_own_functions_see_every_string() -> None:
    """A function gets each string, decoded, after the rules; what it returns is encoded again, changes are counted."""
    seen: list[str] = []

    def hide(text: str) -> str:
        seen.append(text)
        return text.replace("ACME", 'the "client"')

    text, counts = Scrubber(scrubbers=[hide, str.strip]).scrub(f'{{"ACME": ["a\\n", "{KEY}", 1]}}')
    assert text == '{"the \\"client\\"": ["a", "[redacted:groq_key]", 1]}'
    assert counts == {"groq_key": 1, "scrubber_1": 1, "scrubber_2": 1}
    assert seen == ["ACME", "a\n", "[redacted:groq_key]"]


def broken(text: str) -> str:
    """A function of the user's own that fails."""
    raise RuntimeError(text)


@pytest.mark.parametrize("function", [broken, lambda text: None, dict], ids=["raises", "no text", "a type"])
def test_a_function_that_fails_costs_the_content_only(function: Callable[[str], Any]) -> None:
    """What cannot be redacted is dropped, marked and counted; size and marks are kept, nothing is raised."""
    scrubber = Scrubber(scrubbers=[function])
    assert scrubber.capture('"hello"', full_size=9, marks=("cut",)) == (
        Content(None, None, 7, 9, None, ("cut", "scrub_failed"), "none")
    )
    assert scrubber.plain("hello") == DROPPED
    assert scrubber.failures == 2


def test_failures_are_counted_in_every_thread() -> None:
    """Threads that fail at the same time lose no count."""
    scrubber = Scrubber(scrubbers=[broken])
    threads = [threading.Thread(target=lambda: [scrubber.plain(f"text {n}") for n in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scrubber.failures == 1_600


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"redact": ["email", "names"]}, "redact"),
        ({"patterns": {"x": "("}}, "patterns"),
        ({"patterns": {"Not a name": "x"}}, "patterns"),
        ({"level": "hashed"}, "hash_key"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments: dict[str, Any], name: str) -> None:
    """An unknown rule, a pattern that is none, a bad name and a missing key are errors when the scrubber is made."""
    with pytest.raises(SettingsError) as refused:
        Scrubber(**arguments)
    assert refused.value.name == name


# ---- plain text -----------------------------------------------------------------------------------------------------


def test_plain_text_is_masked_and_made_storable() -> None:
    """Names, messages and tracebacks lose secrets, NUL and lone surrogates; other objects are described."""
    scrubber = Scrubber()
    assert scrubber.plain("summarise") == "summarise"
    assert scrubber.plain(f"401 for {KEY}: a\0b\ud800") == "401 for [redacted:groq_key]: a\ufffdb\ufffd"
    assert scrubber.plain("https://me:hunter2@example.com/x") == "https://me:[redacted:url_password]@example.com/x"
    assert scrubber.plain(12) == "12"
    assert scrubber.plain(f"401 for {KEY}") == scrubber.plain(f"401 for {KEY}") == "401 for [redacted:groq_key]"
    assert scrubber.scrub_plain(f"a {KEY}") == ("a [redacted:groq_key]", {"groq_key": 1})
    assert scrubber.scrub_plain("a") == ("a", None)


def test_names_are_masked_as_strictly_as_the_level_asks() -> None:
    """At every level but full, people's data go from names as well."""
    assert Scrubber().plain("jane@example.com") == "jane@example.com"
    levels = [Scrubber(level="redacted"), Scrubber(level="none"), Scrubber(level="hashed", key=b"k")]
    assert [scrubber.plain("jane@example.com") for scrubber in levels] == ["[redacted:email]"] * 3


# ---- cuts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(0, len(EXAMPLES), 4))
def test_sanitising_then_capturing_leaves_no_half_secret(number: int) -> None:
    """A long text with a secret at the limit, cut and then redacted, keeps no piece of it at any offset."""
    name, secret = EXAMPLES[number]
    scrubber = Scrubber(patterns={"own": "never there"})
    limits = scrubber.limits(1_024)
    telling = [secret[start : start + 6] for start in range(10, len(secret) - 5, 3)]
    for offset in range(900 - len(secret), 1_000, 7):
        clean = to_json({"log": "x" * max(0, offset) + f" {secret} " + "y " * 2_000}, limits)
        content = scrubber.capture(clean.text, full_size=clean.full_size, marks=clean.marks)
        assert content.text is not None
        assert [piece for piece in telling if piece in content.text] == []
        assert content.redacted in (None, {name: 1})
        assert clean.marks == ("cut",)


def test_own_patterns_are_not_cut_in_two() -> None:
    """Limits made by the scrubber keep matches of its own patterns whole."""
    scrubber = Scrubber(patterns={"own": "BEGIN[a-z ]+END"})
    secret = "BEGIN" + " secret" * 40 + " END"
    for offset in range(500, 960, 20):
        clean = to_json("x" * offset + secret + " y" * 1_000, scrubber.limits(1_024))
        assert "secret" not in (scrubber.capture(clean.text).text or "")


# ---- any text -------------------------------------------------------------------------------------------------------

fragments = st.sampled_from(
    ["password", "api_key", "token", "=", ": ", '"', "'", "\\", " ", "\n", "\t", "@", "a.com", "://", "--password ",
     "Authorization: Bearer ", "[redacted:x]", "hunter22", "4111 1111 1111 1111", "+49 170 1234567", "\ud800", "\0",
     *(token for made in list(TOKENS.values())[::6] for token in made), KEYS[1]]
)  # fmt: skip
strings = st.text(max_size=6) | st.lists(fragments, max_size=8).map("".join)
values = st.recursive(
    strings | st.integers() | st.sampled_from([None, True, 1.5, 4111111111111111]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
)


@given(values, st.booleans(), st.sampled_from([None, 2]))
@settings(max_examples=150)
def test_valid_json_stays_valid_and_is_scrubbed_once(value: Any, ascii_only: bool, indent: int | None) -> None:
    """Any JSON stays JSON, a second pass finds nothing, and text is changed exactly when something is counted."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    for scrubber in (Scrubber(), Scrubber(level="redacted", patterns={"own": r"h\w+2"})):
        clean, counts = scrubber.scrub(text)
        json.loads(clean)
        assert scrubber.scrub(clean) == (clean, None)
        assert (counts is None) == (clean == text)


@given(st.text(st.characters()) | strings)
def test_capture_takes_any_text(text: str) -> None:
    """Whatever text it is given, capture returns content that can be stored and read."""
    for scrubber in (
        Scrubber(),
        Scrubber(level="redacted"),
        Scrubber(level="none"),
        Scrubber(level="hashed", key=b"k"),
    ):
        msgspec.json.encode(scrubber.capture(text))
        scrubber.plain(text).encode()


# ---- cost -----------------------------------------------------------------------------------------------------------

BAD = [
    "a", "sk-", "eyJ", "eyJa.", "password", "password=", 'password="', "password=\"'`\\", "secret=\\", "\\", '"', "://",
    "://:", "://a:b", "@", "a@", "a.a@", "a@a.", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "0", "1 ", "4111 ",
    "4111 1111 1111 1111 ", "+1(", "0170-", "--", "--pass ", "-u a:b ", "curl -u ", "Bearer ", "Authorization: Digest ",
    "cookie: a=", "[redacted:x]", "[redacted:", "token: ", "AKIA", "ghp_", " ", "é", "abcdefghijklmnopqrst1 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", BAD)
def test_no_text_is_slow(piece: str) -> None:
    """Half a megabyte of anything, as one string or as many, takes linear time: seconds; quadratic would take hours."""
    scrubber = Scrubber(level="redacted")
    for text in (json.dumps(piece * (500_000 // len(piece))), json.dumps([piece] * (200_000 // (len(piece) + 4)))):
        began = time.process_time()
        scrubber.scrub(text)
        assert time.process_time() - began < 15


def test_texts_seen_before_cost_little() -> None:
    """A large text with a secret in it is searched once; the memory for that is bounded."""
    scrubber = Scrubber()
    text = json.dumps([f"line {number} password=hunter{number}" for number in range(5_000)])
    first = scrubber.scrub(text)
    began = time.process_time()
    assert all(scrubber.scrub(text) is first for _ in range(20))
    assert time.process_time() - began < 5
    for number in range(100):
        scrubber.scrub(json.dumps("x" * 100_000 + f" password=hunter{number}"))
    kept = [*scrubber._texts._young.items(), *scrubber._texts._old.items()]
    assert sum(len(key) + len(found[0]) for key, found in kept) <= 8 * 1024 * 1024


def test_threads_share_a_scrubber() -> None:
    """Many threads that scrub the same and different texts all get the right ones."""
    scrubber = Scrubber()
    wrong: list[str] = []

    def work(seed: int) -> None:
        for number in range(300):
            text, _ = scrubber.scrub(f'"{seed if number % 2 else 0} {number} password=hunter{number}"')
            if text != f'"{seed if number % 2 else 0} {number} password=[redacted:password]"':
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
