from __future__ import annotations

import json

import pytest

from tachograph.record.rules import framed
from tachograph.record.rules.rule import Span
from tests.record.fakes import CONTEXTS, KEYS, body


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_a_private_key_goes_from_its_first_to_its_last_line(number: int) -> None:
    """PEM and PGP keys go with header and footer, whether their line breaks are real or escaped."""
    key = KEYS[number]
    text = f"before {key} after"
    assert list(framed.find_private_keys(text)) == [Span(7, 7 + len(key), "private_key")]
    assert all(framed.screen_private_key(context(key).encode()) for context in CONTEXTS.values())


@pytest.mark.parametrize("kept", [60, 100, 150])
def test_a_private_key_that_was_cut_goes_too(kept: int) -> None:
    """Without its end, a key goes as far as its lines go; the words behind it stay."""
    head = KEYS[0][:kept]
    assert list(framed.find_private_keys(head)) == [Span(0, kept, "private_key")]
    assert list(framed.find_private_keys(f"{head} [cut: first 9 of 99 characters]")) == [Span(0, kept, "private_key")]


def test_encrypted_keys_and_public_keys() -> None:
    """The headers of an encrypted key go with it; a public key, and a mention of the header, stay."""
    key = KEYS[0].replace("KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n", 1)
    assert list(framed.find_private_keys(key)) == [Span(0, len(key), "private_key")]
    assert list(framed.find_private_keys(key[:200])) == [Span(0, 200, "private_key")]
    assert list(framed.find_private_keys(KEYS[1].replace("PRIVATE", "PUBLIC"))) == []
    mention = "A file that begins with -----BEGIN PRIVATE KEY----- is a key, and should not be sent."
    assert [mention[span.end :] for span in framed.find_private_keys(mention)] == [" is a key, and should not be sent."]


URLS = [
    ("postgres://me:hunter2@db:5432/app", "hunter2"),
    ("redis://:hunter2@cache", "hunter2"),
    ("https://me:p@ss:w0rd@example.com/a?b=c@d", "p@ss:w0rd"),
    ("amqp:\\/\\/me:hunter2@mq", "hunter2"),
    (f"https://{body(40)}@github.com/a/b", body(40)),
    ("see mongodb+srv://me:hunter2@cluster0.example.net/db, please", "hunter2"),
]


@pytest.mark.parametrize(("url", "password"), URLS)
def test_the_password_of_a_url_goes(url: str, password: str) -> None:
    """User, host and path stay; the password between them goes, whatever it contains."""
    start = url.index(password)
    assert list(framed.find_url_passwords(url)) == [Span(start, start + len(password), "url_password")]
    assert framed.screen_url(url.encode())
    assert framed.screen_url(json.dumps(url).encode())


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/@user/post:1",
        "https://example.com:8080/a@b",
        "https://me@example.com",
        "https://me:${PASSWORD}@example.com",
        "https://me:<password>@example.com",
        "mail me@example.com or see https://example.com: it is there@home",
        "git@github.com:org/repo.git",
    ],
)
def test_urls_without_a_password_stay(text: str) -> None:
    """Ports, paths, user names and placeholders are no passwords."""
    assert list(framed.find_url_passwords(text)) == []
