"""What a customer reads when a limit ended a run. It follows from what became of the hand-over, never ahead of it.

A transfer is promised only where a person did take over. Texts are by locale; an application may bring its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tachograph.errors import SettingsError

Cause = Literal["conversation", "loop", "timeout", "limit"]
CAUSES: Mapping[str, Cause] = {
    "session_limit": "conversation", "quota": "conversation", "tool_loop": "loop", "no_progress": "loop",
    "deadline": "timeout",
}  # fmt: skip
"""Metric of a limit → what is said to have happened; every other limit is just a limit."""

Texts = Mapping[str, str]
"""Cause → what is said when a person took over; `alone`: what is said when nobody did; `transferred`: by the model."""

TEXTS: Mapping[str, Texts] = {
    "en": {
        "conversation": "This conversation has reached its limit of automatic replies. Transferring you to a person.",
        "loop": "I noticed that I was repeating myself. Transferring you to a person.",
        "timeout": "The reply took longer than expected. Transferring you to a person.",
        "limit": "I could not finish this by myself. Transferring you to a person.",
        "transferred": "Transferring you to a person.",
        "alone": "I cannot go on with this right now, and nobody could take over. Please try again later.",
    },
    "pt_BR": {
        "conversation": "Conversa atingiu o limite de interações automáticas. Transferindo para atendimento humano.",
        "loop": "Detectei um comportamento repetitivo. Transferindo para atendimento humano.",
        "timeout": "A IA demorou mais do que o esperado. Transferindo para atendimento humano.",
        "limit": "Não consegui concluir este atendimento. Transferindo para atendimento humano.",
        "transferred": "Transferindo para atendimento humano.",
        "alone": "Não consigo continuar agora e ninguém pôde assumir o atendimento. Tente novamente mais tarde.",
    },
}


def texts_of(locale: str, own: Texts | None = None) -> Texts:
    """The texts of a locale, with the application's own in place of some. Raises SettingsError for what is unknown."""
    if locale not in TEXTS:
        raise SettingsError("locale", locale, f"one of {', '.join(sorted(TEXTS))}, and texts of your own beside it")
    unknown = sorted((own or {}).keys() - TEXTS[locale].keys())
    if unknown:
        raise SettingsError("texts", unknown[0], f"one of {', '.join(TEXTS[locale])}")
    return {**TEXTS[locale], **(own or {})}


def said(texts: Texts, metric: str, *, taken_over: bool) -> str:
    """What a customer is told of a limit that ended a run."""
    return texts[CAUSES.get(metric, "limit")] if taken_over else texts["alone"]
