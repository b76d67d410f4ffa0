"""What identifies a person: e-mail addresses, telephone numbers, payment cards. Opt-in: agents work with these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tachograph.record.rules.rule import Rule, Span

# ---- e-mail ---------------------------------------------------------------------------------------------------------

_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_HAS_DOMAIN = re.compile(rb"@[A-Za-z0-9-]{1,63}\.")


def screen_email(data: bytes) -> bool:
    """Whether something like a domain follows an `@`."""
    return b"@" in data and _HAS_DOMAIN.search(data) is not None


def find_emails(text: str) -> Iterator[Span]:
    """Addresses: found by their domain, then back over the local part, so that no long word is tried twice."""
    for match in _DOMAIN.finditer(text):
        before = text[max(0, match.start() - 64) : match.start()]
        local = before[len(before.rstrip(_LOCAL)) :].lstrip(".%-")
        if local and local != "git":
            yield Span(match.start() - len(local), match.end(), "email")


# ---- digits ---------------------------------------------------------------------------------------------------------

_ZEROS = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_SEPARATORS = b" -.()/"

_PHONE = re.compile(
    r"(?<![\w.])(?:"
    r"(?:\+|00)[1-9][0-9]{0,2}(?:[ ./-]?(?:\([0-9]{1,5}\)|[0-9]{1,14})){1,6}"  # +49 (170) 123-4567
    r"|\([0-9]{3}\)[ -]?[0-9]{3}[ .-][0-9]{4}|[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}"  # (415) 555-0100
    r"|0[1-9][0-9]{0,4}[ /-][0-9]{2,8}(?:[ -][0-9]{2,8}){0,4}"  # 0170 1234567, 06 12 34 56 78
    r")(?![\w-]|[./][0-9])"
)
_OTHER = re.compile(r"[0-9]{2}([./-])[0-9]{2}\1[0-9]{4}|[0-9]{5}-[0-9]{4}\Z")  # a date, a postal code

_CARD = re.compile(
    r"(?<![\w.-])(?:[0-9]{13,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}"  # 4-4-4-4
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}"  # 4-6-5
    r")(?![\w-])"
)
_ISSUERS = re.compile(r"3[0-9]|4|5[0-8]|6|2[2-7]")


def screen_phone(data: bytes) -> bool:
    """Whether nine digits stand together, with nothing but separators between them."""
    return b"0" * 9 in data.translate(_ZEROS, _SEPARATORS)


def find_phones(text: str) -> Iterator[Span]:
    """Numbers with a country code, and national ones that are written in groups; 9 to 15 digits."""
    for match in _PHONE.finditer(text):
        digits = sum(character.isdigit() for character in match[0])
        if 9 <= digits <= 15 and not _OTHER.match(match[0]):
            yield Span(match.start(), match.end(), "phone")


def screen_card(data: bytes) -> bool:
    """Whether 13 digits stand together, with nothing but spaces and `-` between them."""
    return b"0" * 13 in data.translate(_ZEROS, b" -")


def find_cards(text: str) -> Iterator[Span]:
    """Card numbers, whole or in groups of the usual sizes, whose check digit is right."""
    for match in _CARD.finditer(text):
        if is_card(match[0]):
            yield Span(match.start(), match.end(), "card")


def is_card(text: str) -> bool:
    """Whether digits, separators aside, are a card number: an issuer's first digits, 13 to 19 of them, Luhn's sum."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(digit * 2, 10)) for digit in digits[-2::-2]]
    known = _ISSUERS.match(text) is not None and 13 <= len(digits) <= 19 and len(set(digits)) > 1
    return known and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


RULES: Mapping[str, Rule] = {
    "email": Rule("email", screen_email, find_emails),
    "phone": Rule("phone", screen_phone, find_phones),
    "card": Rule("card", screen_card, find_cards),
}
"""Opt-in rules by the name that settings use."""
