"""Credentials one can tell by their own shape: a fixed beginning, then a long run of letters and digits.

All of them hold a run of at least 20 characters out of `[A-Za-z0-9_-]`, which prose does not. So the screen looks for
such runs first, by a table translation and a substring search, and only asks what the few runs begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tachograph.record.rules.rule import Rule, Span


class Shape(NamedTuple):
    """How one kind of token looks."""

    name: str
    begins: str
    """Literal beginnings, separated by spaces."""
    goes_on: str
    """Regular expression of the rest, possessive: to the end of the run."""


_ID = r"[A-Za-z0-9_-]"
_MIXED = r"(?=[A-Za-z_-]{0,60}[0-9])(?=[a-z0-9_-]{0,60}[A-Z])"
_END = r"(?![A-Za-z0-9])"

SHAPES = (
    Shape("anthropic_key", "sk-ant-", rf"{_ID}{{16,}}+"),
    Shape("openrouter_key", "sk-or-", rf"{_ID}{{16,}}+"),
    Shape("langfuse_key", "sk-lf-", r"[0-9a-f-]{32,}+"),
    Shape("openai_key", "sk-proj- sk-svcacct- sk-admin- sk-service-", rf"{_ID}{{16,}}+"),
    Shape("api_key", "sk-", rf"(?:[A-Za-z0-9]{{20,}}+|{_MIXED}{_ID}{{20,}}+)"),  # OpenAI once, DeepSeek, LiteLLM, …
    Shape("cerebras_key", "csk-", r"[A-Za-z0-9]{30,}+"),
    Shape("google_key", "AIza", rf"{_ID}{{30,}}+"),
    Shape("google_oauth", "GOCSPX- ya29.", rf"{_ID}{{20,}}+"),
    Shape("aws_key", "AKIA ASIA ABIA ACCA", rf"[A-Z0-9]{{16}}{_END}"),
    Shape("bedrock_key", "ABSK bedrock-api-key-", r"[A-Za-z0-9+/=]{40,}+"),
    Shape("github_token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"[A-Za-z0-9_]{20,}+"),
    Shape(
        "gitlab_token",
        "glpat- gldt- glrt- glptt- glcbt- glsoat- glft- glimt- glagent- gloas-",
        rf"{_ID}{{16,}}+(?:\.{_ID}++)*+",
    ),
    Shape("slack_token", "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xapp-", r"[A-Za-z0-9-]{16,}+"),
    Shape("stripe_key", "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9]{16,}+"),
    Shape("huggingface_token", "hf_", r"[A-Za-z0-9]{30,}+"),
    Shape("groq_key", "gsk_", r"[A-Za-z0-9]{30,}+"),
    Shape("xai_key", "xai-", r"[A-Za-z0-9]{30,}+"),
    Shape("perplexity_key", "pplx-", r"[A-Za-z0-9]{30,}+"),
    Shape("nvidia_key", "nvapi-", rf"{_ID}{{30,}}+"),
    Shape("replicate_token", "r8_", r"[A-Za-z0-9]{30,}+"),
    Shape("fireworks_key", "fw_", r"[A-Za-z0-9]{20,}+"),
    Shape("together_key", "tgp_v1_", rf"{_ID}{{30,}}+"),
    Shape("langsmith_key", "lsv2_pt_ lsv2_sk_", r"[0-9a-f_]{30,}+"),
    Shape("tavily_key", "tvly-", rf"{_ID}{{20,}}+"),
    Shape("pinecone_key", "pcsk_", r"[A-Za-z0-9_]{30,}+"),
    Shape("databricks_token", "dapi", rf"[0-9a-f]{{32}}{_END}"),
    Shape("npm_token", "npm_", r"[A-Za-z0-9]{30,}+"),
    Shape("pypi_token", "pypi-", rf"{_ID}{{50,}}+"),
    Shape("docker_token", "dckr_pat_ dckr_oat_", rf"{_ID}{{20,}}+"),
    Shape("sendgrid_key", "SG.", rf"{_ID}{{20,}}+\.{_ID}{{16,}}+"),
    Shape("twilio_key", "SK", rf"[0-9a-f]{{32}}{_END}"),
    Shape("digitalocean_token", "dop_v1_ doo_v1_ dor_v1_", r"[0-9a-f]{40,}+"),
    Shape("shopify_token", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32,}+"),
    Shape("vault_token", "hvs. hvb.", rf"{_ID}{{20,}}+"),
    Shape("atlassian_token", "ATATT3", rf"{_ID}{{40,}}+(?:=[0-9A-F]++)?+"),
    Shape("linear_key", "lin_api_ lin_oauth_", r"[A-Za-z0-9]{30,}+"),
    Shape("notion_token", "ntn_ secret_", r"[A-Za-z0-9]{40,}+"),
    Shape("supabase_key", "sbp_ sb_secret_", rf"{_ID}{{20,}}+"),
    Shape("sentry_token", "sntrys_ sntryu_", rf"{_ID}{{20,}}+[A-Za-z0-9+/=_-]*+"),
    Shape("grafana_token", "glc_ glsa_", r"[A-Za-z0-9_]{30,}+[A-Za-z0-9+/=_]*+"),
    Shape("newrelic_key", "NRAK-", r"[A-Z0-9]{20,}+"),
    Shape("age_key", "AGE-SECRET-KEY-1", r"[A-Z0-9]{50,}+"),
    Shape(
        "jwt",
        "eyJ",
        # signed; encrypted; encrypted with the key itself
        rf"{_ID}{{10,}}+\.(?:eyJ{_ID}{{8,}}+(?:\.{_ID}++){{0,3}}+"
        rf"|{_ID}{{10,}}+(?:\.{_ID}++){{1,3}}+|(?:\.{_ID}{{8,}}+){{3}})",
    ),
    Shape(
        "bearer",
        "Bearer bearer BEARER",
        rf" (?={_ID}{{0,60}}[0-9])(?P<credential>){_ID}{{20,}}+[A-Za-z0-9._~+/=-]*+",
    ),
)  # fmt: skip
"""What comes first wins: the special before the general."""

_ODD = (
    ("slack_webhook", r"/B[A-Z0-9]{8,12}/", r"[A-Za-z0-9]{20,}+"),
    ("telegram_token", r"[0-9]{8,10}:AA", rf"{_ID}{{32,}}+"),
    ("azure_client_secret", r"[A-Za-z0-9_~.]{3}[0-9]Q~", r"[A-Za-z0-9_~.-]{31,}+"),
)
"""The same for tokens that do not begin with fixed letters."""

# ---- search ---------------------------------------------------------------------------------------------------------


def find(text: str) -> Iterator[Span]:
    """All tokens in a decoded string: behind anything that is no letter or digit, or behind what was an escape once."""
    if len(text) < _RUN:
        return
    for match in _whole().finditer(" " + text):
        if not _RANDOM.search(match[0]):
            continue
        start = match.start("credential" if match.lastgroup == "bearer" else "start")
        yield Span(start - 1, match.end() - 1, match.lastgroup or "")


_RANDOM = re.compile(r"[A-Z0-9]")


@cache
def _whole() -> re.Pattern[str]:
    shapes = [(shape.name, _either(shape.begins.split()), shape.goes_on) for shape in SHAPES]
    either = "|".join(f"{begins}{goes_on}(?P<{name}>)" for name, begins, goes_on in (*shapes, *_ODD))
    escape = r"(?:(?<=\\)(?:[nrtbf]|u[0-9a-fA-F]{4})|(?<=%)[0-9A-Fa-f]{2})?"
    return re.compile(rf"[^0-9A-Za-z]{escape}(?P<start>)(?:{either})")


def _either(words: list[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, words))})"


# ---- screen ---------------------------------------------------------------------------------------------------------

_RUN = 20
_LEAD = 24
"""Most characters by which a beginning may stand before its run."""

_IN_RUN = b"abcdefghijklmnopqrstuvwxyz_-"
_CLASSES = bytes(97 if chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-") else 32 for byte in range(256))
_LONG = b"a" * _RUN


def screen(data: bytes) -> bool:
    """Whether a long run begins as a token does. Runs without a capital or digit are names in somebody's code."""
    classes = data.translate(_CLASSES)
    start = classes.find(_LONG)
    while start >= 0:
        end = classes.find(b" ", start + _RUN)
        if end < 0:
            end = len(data)
        if data[start:end].translate(None, _IN_RUN) and _begins(str(data[max(0, start - _LEAD) : end], "latin-1")):
            return True
        start = classes.find(_LONG, end)
    return False


def _begins(text: str) -> bool:
    return _beginning().search(" " + text) is not None


@cache
def _beginning() -> re.Pattern[str]:
    """A beginning behind what is no letter or digit, or behind what may be left of an escape (`n`, `u003d`, `3D`)."""
    by_letter: dict[str, list[str]] = {}
    for word in (word for shape in SHAPES for word in shape.begins.split()):
        by_letter.setdefault(word[0], []).append(word[1:])
    words = [letter + _either(rests) for letter, rests in by_letter.items()]
    either = "|".join((*words, *(begins for _, begins, _ in _ODD)))
    return re.compile(rf"[^0-9A-Za-z](?:{either}|(?:[nrtbf]|u[0-9a-fA-F]{{4}}|[0-9A-Fa-f]{{2}})(?:{either}))")


RULE = Rule("tokens", screen, find)
