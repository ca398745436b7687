"""The `google-genai` library: contents generated and embedded, by Gemini and by Vertex."""

from __future__ import annotations

import importlib.util
from typing import Any

import drive
from drive import Api, Options, Told, Way, tokens

MODEL = "gemini-2.5-flash"
TOOLS = {"tools": [{"function_declarations": [{"name": "get_weather", "parameters": drive.CITY}]}]}
TOOLS["automatic_function_calling"] = {"disable": True}


def client(options: Options, *, vertex: bool = False) -> Any:
    from google import genai

    where: dict[str, Any] = {"base_url": options.url, "timeout": int(options.timeout_seconds * 1000)}
    if options.retries:
        where["retry_options"] = {"attempts": options.retries + 1, "initial_delay": 0.05, "max_delay": 0.1}
    if vertex:
        return genai.Client(vertexai=True, api_key=drive.KEY, http_options=where)
    return genai.Client(api_key=drive.KEY, http_options=where)


def generate(made: Any, *, asynchronous: bool = False) -> Way:
    def asked(question: str) -> dict[str, Any]:
        return {"model": MODEL, "contents": question, "config": TOOLS}

    def models() -> Any:  # a client that nobody holds closes itself
        return made.aio.models if asynchronous else made.models

    return Way(
        lambda question: models().generate_content(**asked(question)),
        lambda question: models().generate_content_stream(**asked(question)),
    )


def told(answer: Any) -> Told:
    parts = answer if isinstance(answer, list) else [answer]
    pieces = [piece for part in parts for piece in part.candidates[0].content.parts]
    usage = parts[-1].usage_metadata
    return {
        "pieces": len(parts),
        "text": "".join(piece.text or "" for piece in pieces if not piece.thought) or None,
        "tools": [piece.function_call.name for piece in pieces if piece.function_call],
        "response_id": parts[-1].response_id,
        "response_model": parts[-1].model_version,
        **tokens(
            input_tokens=usage.prompt_token_count,
            output_visible=usage.candidates_token_count,
            output_reasoning=usage.thoughts_token_count,
            cache_read=usage.cached_content_token_count,
            total_tokens=usage.total_token_count,
        ),
    }


def embeddings(options: Options) -> Way:
    made = client(options)
    return Way(lambda question: made.models.embed_content(model="gemini-embedding-001", contents=question))


def apis() -> list[Api]:
    few = {"failures": (), "timeouts": False, "retries": drive.NEVER}
    return [
        Api(
            "generate",
            "gcp.gemini",
            told,
            lambda options: generate(client(options)),
            lambda options: generate(client(options), asynchronous=True),
            refusals=2 if importlib.util.find_spec("aiohttp") else 1,
        ),
        Api("embeddings", "gcp.gemini", lambda answer: {}, embeddings, None, ("plain",), **few),
        Api(
            "vertex",
            "gcp.vertex_ai",
            told,
            lambda options: generate(client(options, vertex=True)),
            None,
            ("plain", "everything"),
            breaks=(),
            **few,
        ),
    ]


if __name__ == "__main__":
    drive.Drive(apis()).run()
