"""The client libraries that are tried, each at several versions.

A row says: where it is installed (a lock file of `tests/golden/venvs`), which script asks everything that it can be
asked, and through which HTTP clients its requests go.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Library:
    """One library at one version.

    distribution: whose version names it. transports: the HTTP clients that it uses. wanted: only cases whose names have
    one of these words. environment: `IMPORTED_FIRST` has modules that are loaded before we are.
    """

    distribution: str
    group: str
    script: str
    transports: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.distribution, self.group, self.note)))


def _each(distribution: str, script: str, **transports: str) -> tuple[Library, ...]:
    """One library in several environments: environment -> its transports, separated by commas."""
    return tuple(
        Library(
            distribution=distribution,
            group=group.replace("_", "-"),
            script=script,
            transports=tuple(names.split(",")),
        )
        for group, names in transports.items()
    )


ASKED = {"TACHOGRAPH_SDK_INCLUDE_USAGE": "true"}
LATE = Library(
    distribution="openai",
    group="clients",
    script="openai_calls.py",
    transports=("httpx2",),
    environment={"IMPORTED_FIRST": "openai,httpx2"},
    wanted=("/plain", "/closed"),
    note="imported first",
)

# It holds its last stream until the next call, closed or not: what becomes of such a one cannot be told case by case.
LITELLM_OLDER = Library(
    distribution="litellm",
    group="clients-litellm-older",
    script="litellm_calls.py",
    transports=("httpx", "aiohttp"),
    wanted=(
        "openai/plain",
        "openai/tools",
        "openai/error",
        "openai/retried",
        "openai/stream/plain",
        "openai/async/",
        "anthropic/plain",
        "anthropic/tools",
        "anthropic/error",
        "anthropic/timeout",
        "anthropic/async/plain",
        "anthropic/async/cached",
        "anthropic/async/stream/plain",
    ),
)

LIBRARIES = (
    *_each("openai", "openai_calls.py", clients="httpx2", clients_older="httpx", clients_past="httpx"),
    *_each("anthropic", "anthropic_calls.py", clients="httpx2", clients_older="httpx", clients_past="httpx2"),
    *_each("google-genai", "google_calls.py", clients="httpx2,aiohttp", clients_older="httpx"),
    *_each("google-genai", "google_calls.py", clients_past="httpx,aiohttp"),
    *_each("mistralai", "mistral_calls.py", clients="httpx2", clients_older="httpx", clients_past="httpx"),
    *_each("cohere", "cohere_calls.py", clients="httpx", clients_older="httpx", clients_past="httpx"),
    *_each("groq", "groq_calls.py", clients="httpx", clients_older="httpx"),
    *_each("together", "together_calls.py", clients="httpx", clients_older="httpx", clients_past="urllib3,aiohttp"),
    *_each("ollama", "ollama_calls.py", clients="httpx", clients_older="httpx"),
    *_each("huggingface-hub", "huggingface_calls.py", clients="httpx2", clients_older="httpx"),
    *_each("boto3", "bedrock_calls.py", clients="botocore,aiohttp", clients_past="botocore"),
    *_each("langchain-openai", "langchain_calls.py", clients="httpx2", clients_older="httpx"),
    *_each("pydantic-ai-slim", "pydantic_ai_calls.py", clients="httpx2", clients_older="httpx"),
    *_each("litellm", "litellm_calls.py", litellm="httpx2,httpx,aiohttp"),
    LITELLM_OLDER,
    LATE,
    *(
        Library(
            distribution=distribution,
            group=group,
            script=script,
            transports=(transport,),
            environment=ASKED,
            wanted=("uncounted/", "chat/stream/"),
            note="include_usage",
        )
        for distribution, group, script, transport in (
            ("openai", "clients", "openai_calls.py", "httpx2"),
            ("openai", "clients-past", "openai_calls.py", "httpx"),
            ("groq", "clients", "groq_calls.py", "httpx"),
            ("mistralai", "clients", "mistral_calls.py", "httpx2"),
        )
    ),
)
