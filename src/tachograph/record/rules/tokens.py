"""Credentials one can tell by their own shape: a fixed beginning, then a long run of letters and digits.

All of them hold a run of at least `_RUN` characters out of `[A-Za-z0-9_-]`, which prose does not. So the screen looks for
such runs first, a table translation and a substring search, and only asks what the few runs begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from tachograph.record.rules.rule import Rule, Span

_RUN = 20
_LEAD = 16
"""Most characters by which a beginning may reach out of its run to the left."""

_ID = r"[A-Za-z0-9_-]"
_MIXED = r"(?=[A-Za-z_-]{0,60}[0-9])(?=[a-z0-9_-]{0,60}[A-Z])"

TOKENS: tuple[tuple[str, str, str], ...] = (
    # name, how it begins, how it goes on (possessive, to the end of the run)
    ("anthropic_key", r"sk-ant-", rf"{_ID}{{16,}}+"),
    ("openrouter_key", r"sk-or-", rf"{_ID}{{16,}}+"),
    ("openai_key", r"sk-", rf"(?:(?:proj|svcacct|admin|service)-{_ID}{{16,}}+|[A-Za-z0-9]{{20,}}+|{_MIXED}{_ID}{{20,}}+)"),
    ("langfuse_key", r"sk-lf-", r"[0-9a-f-]{32,}+"),
    ("cerebras_key", r"csk-", r"[A-Za-z0-9]{30,}+"),
    ("google_key", r"AIza", rf"{_ID}{{30,}}+"),
    ("google_oauth", r"(?:GOCSPX-|ya29\.)", rf"{_ID}{{20,}}+"),
    ("aws_key", r"(?:AKIA|ASIA|ABIA|ACCA)", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("bedrock_key", r"(?:ABSK|bedrock-api-key-)", r"[A-Za-z0-9+/=]{40,}+"),
    ("github_token", r"(?:gh[pousr]_|github_pat_)", r"[A-Za-z0-9_]{20,}+"),
    ("gitlab_token", r"gl(?:pat|dt|rt|ptt|cbt|soat|ft|imt|agent|oas)-", rf"{_ID}{{16,}}+(?:\.{_ID}++)*+"),
    ("slack_token", r"(?:xox[abeoprs]-|xapp-)", r"[A-Za-z0-9-]{16,}+"),
    ("slack_webhook", r"/B[A-Z0-9]{8,12}/", r"[A-Za-z0-9]{20,}+"),
    ("telegram_token", r"[0-9]{8,10}:AA", rf"{_ID}{{32,}}+"),
    ("stripe_key", r"(?:[sr]k_(?:live|test)_|whsec_)", r"[A-Za-z0-9]{16,}+"),
    ("huggingface_token", r"hf_", r"[A-Za-z0-9]{30,}+"),
    ("groq_key", r"gsk_", r"[A-Za-z0-9]{30,}+"),
    ("xai_key", r"xai-", r"[A-Za-z0-9]{30,}+"),
    ("perplexity_key", r"pplx-", r"[A-Za-z0-9]{30,}+"),
    ("nvidia_key", r"nvapi-", rf"{_ID}{{30,}}+"),
    ("replicate_token", r"r8_", r"[A-Za-z0-9]{30,}+"),
    ("fireworks_key", r"fw_", r"[A-Za-z0-9]{20,}+"),
    ("together_key", r"tgp_v1_", rf"{_ID}{{30,}}+"),
    ("langsmith_key", r"lsv2_(?:pt|sk)_", r"[0-9a-f_]{30,}+"),
    ("tavily_key", r"tvly-", rf"{_ID}{{20,}}+"),
    ("pinecone_key", r"pcsk_", r"[A-Za-z0-9_]{30,}+"),
    ("databricks_token", r"dapi", r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("npm_token", r"npm_", r"[A-Za-z0-9]{30,}+"),
    ("pypi_token", r"pypi-", rf"{_ID}{{50,}}+"),
    ("docker_token", r"dckr_(?:pat|oat)_", rf"{_ID}{{20,}}+"),
    ("sendgrid_key", r"SG\.", rf"{_ID}{{20,}}+\.{_ID}{{16,}}+"),
    ("twilio_key", r"SK(?=[0-9a-f]{8})", r"[0-9a-f]{32}(?![A-Za-z0-9])"),
    ("digitalocean_token", r"do[oprt]_v1_", r"[0-9a-f]{40,}+"),
    ("shopify_token", r"shp(?:at|ca|pa|ss)_", r"[0-9a-fA-F]{32,}+"),
    ("vault_token", r"hv[sb]\.", rf"{_ID}{{20,}}+"),
    ("atlassian_token", r"ATATT3", rf"{_ID}{{40,}}+(?:=[0-9A-F]++)?+"),
    ("azure_client_secret", r"[A-Za-z0-9_~.]{3}[0-9]Q~", r"[A-Za-z0-9_~.-]{31,}+"),
    ("linear_key", r"lin_(?:api|oauth)_", r"[A-Za-z0-9]{30,}+"),
    ("notion_token", r"(?:ntn_|secret_)", r"[A-Za-z0-9]{40,}+"),
    ("supabase_key", r"(?:sbp_|sb_secret_)", rf"{_ID}{{20,}}+"),
    ("sentry_token", r"sntry[su]_", rf"{_ID}{{20,}}+[A-Za-z0-9+/=_-]*+"),
    ("grafana_token", r"gl(?:c|sa)_", r"[A-Za-z0-9+/=_]{30,}+"),
    ("newrelic_key", r"NRAK-", r"[A-Z0-9]{20,}+"),
    ("age_key", r"AGE-SECRET-KEY-1", r"[A-Z0-9]{50,}+"),
    ("jwt", r"eyJ", rf"{_ID}{{10,}}+\.(?:eyJ{_ID}{{8,}}+(?:\.{_ID}*+){{0,3}}+|{_ID}{{10,}}+(?:\.{_ID}*+){{1,3}}+)"),
    ("bearer", r"[Bb](?:earer|EARER) ", rf"(?={_ID}{{0,60}}[0-9]){_ID}{{20,}}+[A-Za-z0-9._~+/=-]*+"),
)  # fmt: skip

_BEGINS = "|".join(begins for _, begins, _ in TOKENS)
_CLASSES = bytes(97 if chr(byte).isascii() and (chr(byte).isalnum() or byte in b"_-") else 32 for byte in range(256))
_LONG = b"a" * _RUN


def screen(data: bytes) -> bool:
    """Whether a long run begins as a token does, or is led in by one's beginning."""
    classes = data.translate(_CLASSES)
    start = classes.find(_LONG)
    if start < 0:
        return False
    search = _beginnings().search
    while start >= 0:
        end = classes.find(b" ", start + _RUN)
        if search(" " + str(data[max(0, start - _LEAD) : end if end > 0 else len(data)], "latin-1")):
            return True
        start = classes.find(_LONG, end) if end > 0 else -1
    return False


def find(text: str) -> Iterator[Span]:
    """All tokens of the table in a decoded string."""
    if len(text) < _RUN:
        return
    for match in _whole().finditer(" " + text):
        name = match.lastgroup or ""
        start = match.start("start") + (len("Bearer ") if name == "bearer" else 0)
        yield Span(start - 1, match.end() - 1, name)


@cache
def _beginnings() -> re.Pattern[str]:
    """A beginning behind anything that is no letter or digit, or behind what may be an escape (`\\n`, `%3D`, `\\u003d`)."""
    return re.compile(rf"[^0-9A-Za-z](?:[nrtbf]|u[0-9a-fA-F]{{4}}|[0-9A-Fa-f]{{2}})?(?:{_BEGINS})")


@cache
def _whole() -> re.Pattern[str]:
    either = "|".join(f"{begins}{goes_on}(?P<{name}>)" for name, begins, goes_on in TOKENS)
    escape = r"(?:(?<=\\)(?:[nrtbf]|u[0-9a-fA-F]{4})|(?<=%)[0-9A-Fa-f]{2})?"
    return re.compile(rf"[^0-9A-Za-z]{escape}(?P<start>)(?:{either})")


RULE = Rule("tokens", screen, find)
