"""The official Anthropic SDK reads the mock's streams."""

import anthropic
import pytest
from mock_scenarios import SCHEMA, TOOL_WORDS

TOOLS = [{"name": "add", "description": "Adds", "input_schema": SCHEMA}]


@pytest.fixture
def client(mock):
    return anthropic.Anthropic(base_url=mock.url, api_key="any", max_retries=0)


def run(client, messages, **extra):
    with client.messages.stream(model="mock", max_tokens=4096, messages=messages, **extra) as stream:
        return stream.get_final_message()


def user(words):
    return {"role": "user", "content": words}


def test_text(client):
    message = run(client, [user('say="Grüße 🦀 there" chunk=1 cached=2')])
    assert [block.text for block in message.content] == ["Grüße 🦀 there"]
    assert message.stop_reason == "end_turn"
    assert (message.usage.output_tokens, message.usage.cache_read_input_tokens) == (3, 2)


def test_reasoning_and_parallel_tool_calls_and_their_answers(client):
    messages = [user("redacted " + TOOL_WORDS)]
    message = run(client, messages, tools=TOOLS)
    assert [block.type for block in message.content] == [
        "redacted_thinking",
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert message.content[1].signature.startswith("mock-")
    assert message.content[3].input == {"a": [1, "ü"]}
    assert message.content[4].input == {}
    assert message.stop_reason == "tool_use"

    calls = [block for block in message.content if block.type == "tool_use"]
    answers = [{"type": "tool_result", "tool_use_id": call.id, "content": "2"} for call in calls]
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": answers}]
    assert run(client, messages, tools=TOOLS).stop_reason == "end_turn"

    del answers[1]
    with pytest.raises(anthropic.BadRequestError, match="without `tool_result` blocks"):
        run(client, messages, tools=TOOLS)


@pytest.mark.parametrize(
    "word, expected",
    [
        ("400", anthropic.BadRequestError),
        ("401", anthropic.AuthenticationError),
        ("403", anthropic.PermissionDeniedError),
        ("404", anthropic.NotFoundError),
        ("429", anthropic.RateLimitError),
        ("500", anthropic.InternalServerError),
        ("529", anthropic.InternalServerError),
    ],
)
def test_errors_before_the_stream(client, word, expected):
    with pytest.raises(expected):
        run(client, [user(f"error={word}")])


def test_error_in_the_stream(client):
    with pytest.raises(anthropic.APIStatusError) as caught:
        run(client, [user("error=overloaded after=2 tokens=5")])
    assert caught.value.body["error"]["type"] == "overloaded_error"
