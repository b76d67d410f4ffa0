from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.record.rules import assigned
from tachograph.record.rules.assigned import kind_of
from tests.record.fakes import URLSAFE, body

LONG = body(40)
HIDDEN = re.compile("«(.*?)»", re.DOTALL)

FOUND = (
    # what goes stands in «», the rest stays
    'password: "«hunter2»"',
    "password = '«hunter 2»'".replace(" 2", "2"),
    'PASSWORD="«correct-horse»"',
    "DB_PASSWORD=«hunter22»\nDB_HOST=db",
    "db.passwd=«hunter22»&x=1",
    "mysql://db?user=me&password=«hunter22»&ssl=1",
    '{"user": "me", "password": "«h»"}',
    '{"password": "«with spaces, and \\\\ more»"}',
    '{\\"password\\": \\"«hunter2»\\", \\"user\\": \\"me\\"}',
    '{\\"password\\": \\"«say \\\\\\"hi\\\\\\" twice»\\", \\"user\\": \\"me\\"}',
    "{'password': '«hunter2»', 'user': 'me'}",
    '"password" => "«hunter2»"',
    'password := "«hunter2»"',
    "dbPassword: «hunter22»",
    "passphrase=`«open sesame»`".replace(" ", ""),
    f"OPENAI_API_KEY=«{LONG}»",
    f"export MISTRAL_API_KEY='«{LONG}»'",
    f"x-api-key: «{LONG}»\r\nhost: example.com",
    f'"apiKey":"«{LONG}»"',
    f"aws_secret_access_key = «{body(40, URLSAFE + '+/')}»",
    f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey=«{body(86)}==»;EndpointSuffix=core.windows.net",
    f"Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey=«{body(43)}=»",
    f"Ocp-Apim-Subscription-Key: «{body(32, '0123456789abcdef')}»",
    "Server=db;User=me;Pwd=«hunter22»;",
    f"client_secret=«{LONG}»&grant_type=client_credentials",
    f'"private_key": "«0x{body(64, "0123456789abcdef")}»"',
    f'token: "«{LONG}»"',
    f"?access_token=«{LONG}»&x=1",
    "Authorization: Bearer «abc123def456»",
    "authorization: Basic «bWU6aHVudGVyMg»==".replace("»==", "==»"),
    'curl -H "Authorization: token «abc123def456»" https://example.com',
    f"Authorization: AWS4-HMAC-SHA256 «Credential=x/20260101/us-east-1, SignedHeaders=host, Signature={LONG}»",
    "Cookie: «session=abcdef12345; theme=dark»\nAccept: */*",
    "Set-Cookie: «sid=s3cr3tvalue; Path=/; HttpOnly»",
    f"https://x.blob.core.windows.net/a?sv=2024&sig=«{LONG}%3D»&se=2026",
    f"https://s3.amazonaws.com/a?X-Amz-Expires=60&X-Amz-Signature=«{body(64, '0123456789abcdef')}»",
    "mysql --user me --password «hunter22» --host db",
    f"gh auth login --with-token «{LONG}»",
    "curl -s -u me:«hunter2» https://example.com",
    "password\t=\t«hunter22»",
    '{"password": "«cut in the middle of it»',
)

STAYS = (
    "Please enter your password: it has at least 8 characters",
    "Forgot your password? Passwords must differ. password, secret and token are words.",
    "password = getpass.getpass()",
    "password=os.environ['DB_PASSWORD'], user=settings.user",
    "password: str = None, api_key: Optional[str]",
    "self.password = password1(user)",
    'password="${DB_PASSWORD}" api_key="{{ secrets.API_KEY }}" token=$GITHUB_TOKEN',
    'api_key="YOUR_BING_API_KEY" password="<password>" secret="********"',
    'api_key = "sk-..." password = "xxxx"',
    '{"type": "object", "properties": {"password": {"type": "string"}, "api_key": {"type": "string"}}}',
    '{"password": null, "token": true, "secret": false, "api_key": ""}',
    '{"required": ["user", "password"]}',
    "max_tokens=4096, num_tokens: 12345678901234567890",
    '{"token": "Hello", "logprob": -0.5, "bytes": [72]}',
    f'{{"nextPageToken": "{LONG}", "next_token": "{LONG}", "continuation_token": "{LONG}", "cursor_token": "{LONG}"}}',
    f'{{"type": "thinking", "signature": "{LONG}"}}',
    f"signature: {LONG}",
    "tokens = tokenizer.encode(text)",
    "PWD=/home/me/project OLDPWD=/home/me",
    "secret: /run/secrets/db1",
    "Authorization: Bearer <token>, Authorization: Bearer $TOKEN, Authorization: required",
    "Authorization: Bearer authentication is needed",
    "cookie: chocolate, cookies: 3",
    "docker run -u 1000:1000 image && curl -o out https://example.com",
    "bypass: compass=north5 passport=1234567 the pass: 12",
    "keyboard=qwerty12345 monkey: banana12345 cache_key=abc123456789",
)


@pytest.mark.parametrize("marked", FOUND)
def test_a_value_under_a_sensitive_name_is_found(marked: str) -> None:
    """In every spelling of assignments, headers, options and queries the value goes, exactly; the name stays."""
    text = HIDDEN.sub(r"\1", marked)
    spans = sorted(assigned.find(text))
    for span in reversed(spans):
        text = f"{text[: span.start]}«{text[span.start : span.end]}»{text[span.end :]}"
    assert text == marked


@pytest.mark.parametrize("text", STAYS)
def test_what_is_no_secret_stays(text: str) -> None:
    """Prose about passwords, code, schemas, placeholders, references, page tokens and ids are left alone."""
    assert list(assigned.find(text)) == []


@pytest.mark.parametrize("marked", FOUND)
def test_the_screen_lets_them_pass(marked: str) -> None:
    """What is found is not held back by the screen, as plain text and as JSON (a tab there is not for this screen)."""
    text = HIDDEN.sub(r"\1", marked)
    assert assigned.screen(text.encode())
    assert assigned.screen(json.dumps(text).encode()) or "\t" in text


def test_prose_and_schemas_do_not_pass_the_screen() -> None:
    """Ordinary messages, tool definitions with a password, and thinking blocks are not searched at all."""
    texts = [
        json.dumps({"role": "user", "content": "I forgot my password. Is there a token for this? It is a secret."}),
        json.dumps({"properties": {"password": {"type": "string"}, "token": {"type": "string"}}}),
        json.dumps({"type": "thinking", "signature": LONG}),
        json.dumps([{"token": "Hello", "logprob": -0.1}] * 20),
        json.dumps("for key, token in zip(keys, tokens):\n    print(key, token)\n"),
    ]
    assert [assigned.screen(text.encode()) for text in texts] == [False] * 5


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("password", "password"), ("dbPassword", "password"), ("PGPASSWORD", "password"), ("pass", "pass"),
        ("dbPass", "pass"), ("SMTP_PASS", "pass"), ("compass", None), ("BYPASS", None),
        ("client_secret", "secret"), ("AWS_SECRET_ACCESS_KEY", "api_key"), ("x-api-key", "api_key"),
        ("Api Key", "api_key"), ("private_key", "secret"), ("GITHUB_TOKEN", "token"), ("next_page_token", None),
        ("Proxy-Authorization", "authorization"), ("Set-Cookie", "cookie"), ("X-Amz-Signature", "url_signature"),
        ("password_hash", None), ("passwords", None), ("key", None), ("monkey", None), ("tokens", None), ("", None),
        ("public_key", None), ("author", None),
    ],
)  # fmt: skip
def test_names_are_sensitive_by_their_ends(name: str, kind: str | None) -> None:
    """A name tells by its last word what it holds, however it is joined and spelled."""
    assert kind_of(name) == kind


PIECES = st.sampled_from(
    ["password", "api_key", "Token", "authorization", "sig", "=", ":", "=>", ":=", '"', "'", "\\", '\\"', " ", "\n",
     "&", "?", "--", "-u ", "curl ", "Bearer ", "hunter22", LONG, "{", "[", ",", "}", "é", "null", "$X", "x"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join))
def test_what_is_found_passes_the_screen(text: str) -> None:
    """The screen never says no to a text in which something is found, plain or as JSON."""
    spans = list(assigned.find(text))
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    if spans:
        assert assigned.screen(text.encode())
        assert assigned.screen(json.dumps(text).encode())
