"""The official OpenAI SDK reads the mock's streams."""

import json

import openai
import pytest
from mock_scenarios import SCHEMA, TOOL_WORDS


@pytest.fixture
def client(mock):
    return openai.OpenAI(base_url=mock.url + "/v1", api_key="any", max_retries=0)


def stream(client, words, **extra):
    messages = [{"role": "user", "content": words}]
    return client.chat.completions.create(model="mock", messages=messages, stream=True, **extra)


def test_text(client):
    chunks = list(stream(client, 'say="Grüße 🦀 there" chunk=1', stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Grüße 🦀 there"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 3


def test_no_usage_unless_asked(client):
    assert all(chunk.choices for chunk in stream(client, "tokens=2"))


def test_parallel_tool_calls(client):
    tools = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
    calls = {}
    finish = None
    for chunk in stream(client, TOOL_WORDS, tools=tools):
        choice = chunk.choices[0]
        finish = choice.finish_reason or finish
        for call in choice.delta.tool_calls or []:
            known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
            known["arguments"] += call.function.arguments or ""
    assert finish == "tool_calls"
    assert [call["name"] for call in calls.values()] == ["add", "now"]
    assert json.loads(calls[0]["arguments"]) == {"a": [1, "ü"]}
    assert calls[0]["id"] != calls[1]["id"]


@pytest.mark.parametrize(
    "word, expected",
    [
        ("400", openai.BadRequestError),
        ("401", openai.AuthenticationError),
        ("403", openai.PermissionDeniedError),
        ("404", openai.NotFoundError),
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("503", openai.InternalServerError),
        ("504", openai.InternalServerError),
    ],
)
def test_errors_before_the_stream(client, word, expected):
    with pytest.raises(expected):
        list(stream(client, f"error={word}"))


def test_error_in_the_stream(client):
    seen = []
    with pytest.raises(openai.APIError, match="error while processing"):
        for chunk in stream(client, "error=internalServerException after=2 tokens=5"):
            seen.append(chunk)
    assert len(seen) == 3


def test_refuses_an_unanswered_call(client, mock):
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": "y"},
    ]
    with pytest.raises(openai.BadRequestError, match="did not have response messages: c1"):
        client.chat.completions.create(model="mock", messages=messages, stream=True)
    assert mock.get("/_mock/requests")[-1]["refused"]
