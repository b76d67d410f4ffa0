"""How many tokens a request may come to, before anybody has counted them.

A model family has a number of bytes that one of its tokens covers in the densest text that is common (JSON, code,
names); plain English covers more. The margin is for what that leaves out. Strict is one token a byte: no tokenizer
makes more. What providers put around a request comes on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from typing import Final

MOST_OUTPUT: Final = 4096
"""Tokens of output that a request is taken to allow when it does not say."""
MARGIN: Final = 1.15
"""What an estimate is raised by."""
FRAME: Final = 64
"""Tokens that a request has beside its text: roles, separators, what some providers put before it."""
TOOLS_FRAME: Final = 400
"""What a provider adds to a request with tools, to tell the model how to use them."""
TOOLS_FRAMES: Mapping[str, int] = {"claude": 700, "command": 1500, "nova": 1000}
"""The same for families where it is more."""
LEAST_COUNTED: Final = 4_000
"""Bytes of a request whose count says something of its text."""

BYTES_PER_TOKEN: Mapping[str, float] = {
    "gpt": 3.2, "chatgpt": 3.2, "o1": 3.2, "o3": 3.2, "o4": 3.2, "text-embedding": 3.2,
    "claude": 2.7,
    "gemini": 3.2, "gemma": 3.2,
    "llama": 3.0, "mistral": 2.9, "mixtral": 2.9, "codestral": 2.9, "ministral": 2.9, "magistral": 2.9,
    "deepseek": 3.0, "qwen": 3.0, "qwq": 3.0, "kimi": 3.0, "glm": 3.0, "grok": 3.0, "command": 2.9, "nova": 2.9,
}  # fmt: skip
"""How a model's name begins, without the maker in front of it → UTF-8 bytes a token."""
OTHERWISE: Final = 2.5
"""Of a model that no family is known of."""


def tokens_of(
    size: int,
    model: str,
    *,
    tools: bool = False,
    strict: bool = False,
    seen: float = 0.0,
    known: float | None = None,
) -> int:
    """Most input tokens that `size` bytes are expected to be for a model; `tools`: definitions of tools are among them.

    `seen` is what requests of this run have come to, in tokens a byte: an estimate that was too low is not made again.
    `known` is what the last large request of this conversation came to, all in all (`ratio_of`): it says enough.
    """
    if known is not None:
        return ceil(size * known)
    family = family_of(model)
    frame = TOOLS_FRAMES.get(family, TOOLS_FRAME) if tools else FRAME
    if strict:
        return size + frame
    return ceil(size * max(MARGIN / BYTES_PER_TOKEN.get(family, OTHERWISE), seen)) + frame


def ratio_of(tokens: int, size: int) -> float | None:
    """Tokens a byte of a request that was counted; None of one so small that what was put around it weighs more."""
    return min(1.0, tokens / size) if size >= LEAST_COUNTED else None


def output_within(stated: int | None, room: int | None) -> int:
    """Most tokens of output to ask for: as stated, else `MOST_OUTPUT`, in the room that limits leave; at least 1."""
    most = stated or MOST_OUTPUT
    return most if room is None else max(1, min(most, room))


@lru_cache(maxsize=256)
def family_of(model: str) -> str:
    """The family that a model's name belongs to, of those in `BYTES_PER_TOKEN`; '' for none of them."""
    name = model.lower()
    for part in (name, *reversed(name.replace(":", "/").split("/")), *name.split(".")):
        for family in BYTES_PER_TOKEN:
            if part.startswith(family):
                return family
    return ""
