from __future__ import annotations

import pytest

from tachograph.wire.vendors import served


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5-20250929"),
        ("gpt-4.1", "openai", "gpt-4.1"),
        ("ft:gpt-4.1-2025-04-14:org::id", "openai", "ft:gpt-4.1-2025-04-14:org::id"),
        ("o3", "openai", "o3"),
        ("gemini-3-pro", "google", "gemini-3-pro"),
        ("deepseek/deepseek-chat", "deepseek", "deepseek-chat"),
        ("litellm_proxy/anthropic.claude-3-5-sonnet-20241022-v2:0", "aws", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("litellm_proxy/claude-3-5-sonnet-20241022", "anthropic", "claude-3-5-sonnet-20241022"),
        ("openrouter/meta-llama/llama-4", "openrouter", "meta-llama/llama-4"),
        ("gpt-oss-120b", "unknown", "gpt-oss-120b"),
        ("house-made/llm", "unknown", "house-made/llm"),
        ("bedrock/", "unknown", "bedrock/"),
        ("", "unknown", "unknown"),
        (None, "unknown", "unknown"),
    ],
)  # fmt: skip
def test_a_model_name_tells_who_serves_it(name: str | None, provider: str, model: str) -> None:
    """Routers' prefixes are taken off; open models, which anybody serves, and unknown names tell nothing."""
    assert served(name) == (provider, model)
