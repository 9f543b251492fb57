"""The shapes of boto3's `invoke_agent_runtime` against `/invocations`: argv is the server's address and an API key.

botocore signs a request for AWS's endpoint, puts the payload into the body and gives the body of the response as a
`StreamingBody`. Here botocore builds the request from its own service model and parses the response by it; only the sending
is ours, since AWS's front door rewrites the path for the container.
"""

import json
import sys
import time
import urllib.error
import urllib.request

import agentcore_door
import boto3
from botocore.config import Config

address, key = sys.argv[1], sys.argv[2]
ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/loquat-abc1234567"
client = boto3.client(
    "bedrock-agentcore",
    region_name="us-east-1",
    aws_access_key_id="x",
    aws_secret_access_key="y",
    config=Config(retries={"total_max_attempts": 1}),
)


agentcore_door.install(client.meta.events, address, key)


def invoke(payload, accept="application/json", session="s" * 33):
    return client.invoke_agent_runtime(
        agentRuntimeArn=ARN, runtimeSessionId=session, accept=accept, payload=json.dumps(payload).encode()
    )


def lines(answer):
    """As AWS's examples read a stream."""
    for line in answer["response"].iter_lines():
        text = line.decode()
        if text.startswith("data: "):
            yield json.loads(text[6:])


found = {}
whole = invoke({"prompt": 'tool=calculator {"expression": "6*7"} say="It is 42."'})
body = json.loads(whole["response"].read())
found["whole"] = [whole["contentType"], whole["runtimeSessionId"], body["result"]["content"][0]["text"], body["stop_reason"]]
found["tool"] = [t["name"] for t in body["tools"]]

stream = invoke({"prompt": 'reasoning=1 say="Grüße 👋🏽 you"'}, accept="text/event-stream")
found["stream_type"] = stream["contentType"]
frames = list(lines(stream))
found["text"] = "".join(
    f["event"]["contentBlockDelta"]["delta"].get("text", "") for f in frames if "contentBlockDelta" in f.get("event", {})
)
found["kinds"] = list(dict.fromkeys(next(iter(f.get("event", f))) for f in frames))
run = frames[0]["run"]
found["session"] = run["session_id"]
again = list(lines(invoke({"run_id": run["run_id"], "after": 0}, accept="text/event-stream")))
found["again"] = again == frames
found["blocks"] = json.loads(invoke({"prompt": [{"text": 'say="blocks"'}]})["response"].read())["result"]["content"]


def refused(payload, **more):
    try:
        invoke(payload, **more)
    except client.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]
    return "answered"


found["errors"] = {
    "nothing": refused({}),
    "unknown_field": refused({"prompt": "x", "other": 1}),
    "unknown_run": refused({"run_id": "unknown"}),
    "model": refused({"prompt": "error=throttlingException"}),
}
frames = list(lines(invoke({"prompt": "error=modelStreamErrorException after=2 tokens=9"}, accept="text/event-stream")))
found["stream_error"] = sorted(frames[-1])


def ping():
    return json.loads(urllib.request.urlopen(f"{address}/ping", timeout=30).read())


quiet = ping()
time_before = quiet["time_of_last_update"]
running = json.dumps({"prompt": "tokens=200 delay=50ms", "run_id": "ping-run", "stream": True}).encode()
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
answer = urllib.request.urlopen(urllib.request.Request(f"{address}/invocations", data=running, headers=headers), timeout=30)
answer.readline()
busy = ping()
urllib.request.urlopen(urllib.request.Request(f"{address}/runs/ping-run/stop", data=b"", headers=headers), timeout=30).read()
deadline = time.monotonic() + 20
after = ping()
while after["status"] != "Healthy" and time.monotonic() < deadline:
    after = ping()
found["ping"] = [quiet["status"], busy["status"], after["status"], time_before <= busy["time_of_last_update"] <= after["time_of_last_update"]]
found["ping_rests"] = ping() == after
print(json.dumps(found))
