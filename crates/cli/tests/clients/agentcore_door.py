"""AWS's front door to an agent in AgentCore Runtime, as boto3 meets it: the body and the named headers reach the container."""

import io
import urllib.error
import urllib.request

from botocore.awsrequest import AWSResponse


class Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def install(events, address, key=None):
    """Sends the requests of these events' clients to `/invocations` at an address."""

    def send(request, **_):
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        for name, value in request.headers.items():
            if name.lower() in ("accept", "x-amzn-bedrock-agentcore-runtime-session-id"):
                headers[name] = value.decode() if isinstance(value, bytes) else value
        http = urllib.request.Request(f"{address}/invocations", data=request.body, headers=headers)
        try:
            answer = urllib.request.urlopen(http, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        return AWSResponse(request.url, answer.status, dict(answer.headers), Raw(answer.read()))

    events.register("before-send.bedrock-agentcore.InvokeAgentRuntime", send)
