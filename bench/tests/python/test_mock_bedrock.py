"""botocore reads the mock's binary frames, both checksums included."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from mock_scenarios import SCHEMA, TOOL_WORDS

TOOLS = {"tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": SCHEMA}}}]}
MODEL = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x-v1:0"


@pytest.fixture
def client(mock):
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=mock.url,
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )


def stream(client, words, **extra):
    messages = [{"role": "user", "content": [{"text": words}]}]
    return client.converse_stream(modelId=MODEL, messages=messages, **extra)["stream"]


def test_text(client, mock):
    events = list(stream(client, 'say="Grüße 🦀 there" chunk=1 cached=2'))
    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
    assert text == "Grüße 🦀 there"
    assert events[0] == {"messageStart": {"role": "assistant"}}
    assert events[-2] == {"messageStop": {"stopReason": "end_turn"}}
    usage = events[-1]["metadata"]["usage"]
    assert (usage["outputTokens"], usage["cacheReadInputTokens"]) == (3, 2)
    assert mock.get("/_mock/requests")[-1]["model"] == MODEL


def test_reasoning_and_parallel_tool_calls(client):
    deltas, starts = [], []
    for event in stream(client, "redacted " + TOOL_WORDS, toolConfig=TOOLS):
        if "contentBlockStart" in event:
            starts.append(event["contentBlockStart"]["start"]["toolUse"]["name"])
        if "contentBlockDelta" in event:
            deltas.append(event["contentBlockDelta"]["delta"])
    assert starts == ["add", "now"]
    reasoning = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    assert reasoning[0]["redactedContent"] == b"mock redacted"
    assert "".join(piece.get("text", "") for piece in reasoning) == "a loquat"
    assert reasoning[-1]["signature"].startswith("mock-")
    assert "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta) == '{"a": [1, "ü"]}'


@pytest.mark.parametrize(
    "name",
    [
        "validationException",
        "accessDeniedException",
        "resourceNotFoundException",
        "modelTimeoutException",
        "modelErrorException",
        "throttlingException",
        "modelNotReadyException",
        "internalServerException",
        "serviceUnavailableException",
    ],
)
def test_errors_before_the_stream(client, name):
    with pytest.raises(ClientError) as caught:
        list(stream(client, f"error={name}"))
    assert caught.value.response["Error"]["Code"] == name[0].upper() + name[1:]


@pytest.mark.parametrize(
    "name",
    [
        "internalServerException",
        "modelStreamErrorException",
        "serviceUnavailableException",
        "throttlingException",
        "validationException",
    ],
)
def test_exceptions_in_the_stream(client, name):
    seen = []
    with pytest.raises(EventStreamError) as caught:
        for event in stream(client, f"error={name} after=2 tokens=5"):
            seen.append(event)
    assert caught.value.response["Error"]["Code"] == name
    assert len(seen) == 3


def test_refuses_roles_that_do_not_alternate(client):
    message = {"role": "user", "content": [{"text": "x"}]}
    with pytest.raises(ClientError, match="must alternate"):
        client.converse_stream(modelId=MODEL, messages=[message, message])
