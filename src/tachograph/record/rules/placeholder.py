"""What stands where a secret would, and is none: a template, a type, a reference to where the secret is kept."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"""
      \$\{.*                                   # ${PASSWORD}
    | \$\(.*                                   # $(cat secret)
    | \$[A-Za-z_]\w*                           # $PASSWORD
    | %\w+% | %\(?\w*\)?s                      # %PASSWORD%, %(password)s
    | \{\{?.*                                  # {password}, {{ password }}
    | <.*                                      # <your key>
    | \[.*                                     # [password], and what was redacted before
    | (?:[*.x•-])+ | X+                        # ****, xxxx
    | (?i:your[-_ ].* | your\w+here | change[-_ ]?(?:me|this) | (?:replace|insert|enter)[-_ ](?:me|with|your|the)\b.*)
    | (?i:none|null|nil|undefined|true|false|string|str|text|bytes|bool|boolean|int|integer|number|object|any|optional
        |required|missing|hidden|masked|redacted|secret|password|passwd|token|value|empty|unset|env|default)
    | (?i:os|process|sys)\.(?i:env|getenv).*   # process.env.PASSWORD
    | (?i:env|vault|secret|secrets|file|ref):.* # env:PASSWORD
    """,
    re.VERBOSE | re.DOTALL,
)


def is_placeholder(value: str) -> bool:
    """Whether a value only says where a secret would stand."""
    return _PLACEHOLDER.fullmatch(value) is not None
