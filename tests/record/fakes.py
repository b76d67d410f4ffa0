"""Secrets that nobody has, put together when the tests run, so that no scanner finds them in the repository."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from string import ascii_letters, ascii_uppercase, digits

BASE62 = ascii_letters + digits
HEX = digits + "abcdef"
URLSAFE = BASE62 + "_-"


def body(length: int, alphabet: str = BASE62, salt: str = "") -> str:
    """Characters that look random and are the same in every run: a capital, a digit, a small letter, then any."""
    drawn = b"".join(blake2b(f"{salt}{block}".encode()).digest() for block in range(length // 64 + 1))
    text = "".join(alphabet[byte % len(alphabet)] for byte in drawn[:length])
    start = "".join(character for character in "Q7k" if character in alphabet)
    return start + text[len(start) :]


def _pem(kind: str, lines: int, newline: str = "\n") -> str:
    inside = newline.join(body(64, BASE62 + "+/", f"pem{line}") for line in range(lines))
    return f"-----BEGIN {kind}-----{newline}{inside}{newline}{body(20)}=={newline}-----END {kind}-----"


TOKENS: Mapping[str, tuple[str, ...]] = {
    "anthropic_key": (
        "sk-" + "ant-api03-" + body(93, URLSAFE) + "AA",
        "sk-" + "ant-admin01-" + body(93, URLSAFE) + "AA",
    ),
    "openrouter_key": ("sk-" + "or-v1-" + body(64, HEX),),
    "langfuse_key": ("sk-" + "lf-" + "-".join(body(size, HEX) for size in (8, 4, 4, 4, 12)),),
    "openai_key": ("sk-" + "proj-" + body(74, URLSAFE), "sk-" + "svcacct-" + body(60), "sk-" + "admin-" + body(60)),
    "api_key": ("sk-" + body(48), "sk-" + body(32, HEX), "sk-" + body(22, URLSAFE)),
    "cerebras_key": ("csk-" + body(48, digits + "abcdefghijklmnopqrstuvwxyz"),),
    "google_key": ("AI" + "za" + body(35, URLSAFE),),
    "google_oauth": ("GOC" + "SPX-" + body(28, URLSAFE), "ya" + "29." + body(90, URLSAFE)),
    "aws_key": ("AK" + "IA" + body(16, ascii_uppercase + "234567"), "AS" + "IA" + body(16, ascii_uppercase + "234567")),
    "bedrock_key": ("AB" + "SK" + body(128, BASE62 + "+/"),),
    "github_token": (*(f"gh{kind}_{body(36)}" for kind in "pousr"), "github" + "_pat_" + body(82, BASE62 + "_")),
    "gitlab_token": ("gl" + "pat-" + body(20, URLSAFE), "gl" + "rt-" + body(20, URLSAFE)),
    "slack_token": ("xo" + "xb-" + body(12, digits) + "-" + body(24), "xa" + "pp-1-" + body(40)),
    "slack_webhook": ("/B" + body(9, ascii_uppercase + digits) + "/" + body(24),),
    "telegram_token": (body(9, digits) + ":AA" + body(33, URLSAFE),),
    "stripe_key": ("sk_" + "live_" + body(24), "rk_" + "test_" + body(24), "whs" + "ec_" + body(32)),
    "huggingface_token": ("h" + "f_" + body(34),),
    "groq_key": ("gs" + "k_" + body(52),),
    "xai_key": ("xa" + "i-" + body(80),),
    "perplexity_key": ("pp" + "lx-" + body(48),),
    "nvidia_key": ("nv" + "api-" + body(64, URLSAFE),),
    "replicate_token": ("r8" + "_" + body(37),),
    "fireworks_key": ("fw" + "_" + body(24),),
    "together_key": ("tgp" + "_v1_" + body(43, URLSAFE),),
    "langsmith_key": ("lsv2" + "_pt_" + body(32, HEX) + "_" + body(10, HEX),),
    "tavily_key": ("tv" + "ly-" + body(32),),
    "pinecone_key": ("pc" + "sk_" + body(60, BASE62 + "_"),),
    "databricks_token": ("da" + "pi" + body(32, HEX),),
    "npm_token": ("np" + "m_" + body(36),),
    "pypi_token": ("py" + "pi-" + body(120, URLSAFE),),
    "docker_token": ("dckr" + "_pat_" + body(27, URLSAFE),),
    "sendgrid_key": ("SG" + "." + body(22, URLSAFE) + "." + body(43, URLSAFE),),
    "twilio_key": ("SK" + body(32, HEX),),
    "digitalocean_token": ("dop" + "_v1_" + body(64, HEX),),
    "shopify_token": ("shp" + "at_" + body(32, HEX),),
    "vault_token": ("hv" + "s." + body(95, URLSAFE),),
    "atlassian_token": ("ATA" + "TT3" + body(180, URLSAFE) + "=" + body(8, digits + "ABCDEF"),),
    "azure_client_secret": (body(3) + "8Q" + "~" + body(34, URLSAFE + ".~"),),
    "linear_key": ("lin" + "_api_" + body(40),),
    "notion_token": ("nt" + "n_" + body(46), "secret" + "_" + body(43)),
    "supabase_key": ("sb" + "p_" + body(40, HEX), "sb" + "_secret_" + body(31, URLSAFE)),
    "sentry_token": ("sntr" + "ys_" + body(120, BASE62 + "+/") + "=",),
    "grafana_token": ("gl" + "sa_" + body(32) + "_" + body(8, HEX),),
    "newrelic_key": ("NR" + "AK-" + body(27, ascii_uppercase + digits),),
    "age_key": ("AGE-" + "SECRET-KEY-1" + body(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),),
    "jwt": (
        "ey" + "J" + body(33, URLSAFE) + ".ey" + "J" + body(120, URLSAFE) + "." + body(43, URLSAFE),
        "ey" + "J" + body(33, URLSAFE) + ".ey" + "J" + body(120, URLSAFE),
        "ey" + "J" + body(33, URLSAFE) + ".".join(["", *(body(size, URLSAFE) for size in (342, 16, 90, 22))]),
        "ey" + "J" + body(33, URLSAFE) + ".".join(["", "", *(body(size, URLSAFE) for size in (16, 90, 22))]),
    ),
}
"""Rule → made-up tokens of its shape."""

KEYS = (
    _pem("RSA PRIVATE KEY", 24),
    _pem("PRIVATE KEY", 2),
    _pem("EC PRIVATE KEY", 3, "\\n"),
    _pem("OPENSSH PRIVATE KEY", 6, "\r\n"),
    _pem("PGP PRIVATE KEY BLOCK", 12),
)
"""Private keys, with real and with escaped line breaks."""

Context = Callable[[str], str]

CONTEXTS: Mapping[str, Context] = {
    "value": lambda secret: json.dumps({"role": "user", "content": secret}),
    "key": lambda secret: json.dumps({"usage": {secret: 3}}),
    "list": lambda secret: json.dumps(["first", secret, 2.5, None]),
    "sentence": lambda secret: json.dumps(f"I use {secret}, is that right?"),
    "quoted": lambda secret: json.dumps(f"it is '{secret}' (`{secret}`)"),
    "lines": lambda secret: json.dumps(f"one\n{secret}\ttwo\r\n{secret}"),
    "nested": lambda secret: json.dumps({"arguments": json.dumps({"text": f"a\n{secret}"})}),
    "twice nested": lambda secret: json.dumps(json.dumps(json.dumps({"text": f"\n{secret}\n"}))),
    "behind an escape": lambda secret: json.dumps(f"é{secret} \x07{secret}"),
    "in a query": lambda secret: json.dumps(f"https://example.com/?q={secret}&page=2"),
    "percent-encoded": lambda secret: json.dumps(f"https://example.com/?u=%3Fq%3D{secret}"),
    "non-ascii": lambda secret: json.dumps({"text": f"鍵は{secret}です"}, ensure_ascii=False),
    "spaced": lambda secret: json.dumps({"a": [1, {"b": secret}]}, indent=2),
}
"""Where a secret may stand in recorded JSON."""
