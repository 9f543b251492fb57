"""What Loquat sends to Amazon Bedrock is signed as botocore signs it, and `loquat check` says what to do when it is refused."""

import http.client
import json
import os
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "a-canary-secret", "a-canary-token"
SIGNER = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
PLACE = {"AWS_REGION": "eu-central-1"}


class Bedrock:
    """Keeps the requests as they came over the wire; answers them with a refusal, or as the mock model server does."""

    def __init__(self, mock_port):
        self.requests = []
        self.refusal = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, self.headers, body))
                if outer.refusal:
                    status, code, message = outer.refusal
                    answer, kind = json.dumps({"message": message}).encode(), "application/json"
                    extra = {"x-amzn-ErrorType": code}
                else:
                    mock = http.client.HTTPConnection("127.0.0.1", mock_port, timeout=30)
                    mock.request("POST", self.path, body, {"content-type": "application/json"})
                    response = mock.getresponse()
                    status, kind, answer, extra = response.status, response.headers["content-type"], response.read(), {}
                self.send_response(status)
                for name, value in {"content-type": kind, "content-length": str(len(answer)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def bedrock():
    program = os.environ["LOQUAT_BENCH_BIN"]
    mock = subprocess.Popen([program, "mock", "--port", "0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        service = Bedrock(int(mock.stdout.readline().rsplit(":", 1)[1]))
        yield service
        service.server.shutdown()
    finally:
        mock.kill()
        mock.wait()


def check(tmp_path, bedrock, model, **env):
    """`loquat check`, which asks the model once."""
    settings = {
        "HOME": str(tmp_path),
        "MODEL_ID": model,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **env,
    }
    done = subprocess.run(
        [os.environ["LOQUAT_BIN"], "check", str(tmp_path)],
        env=settings, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120,
    )
    for canary in (SECRET, TOKEN):
        assert canary not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-sonnet-4-20250514-v1:0",
        "eu.anthropic.claude-sonnet-4-20250514-v1:0",
        "bedrock/arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-x-v1:0",
    ],
)
@pytest.mark.parametrize("session", [True, False])
def test_requests_are_signed_as_botocore_signs_them(tmp_path, bedrock, model, session):
    env = SIGNER if session else {name: value for name, value in SIGNER.items() if name != "AWS_SESSION_TOKEN"}
    done = check(tmp_path, bedrock, model, **env, **PLACE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"first token after \d+ ms", done.stdout)
    [(path, headers, body)] = bedrock.requests
    assert path.startswith("/model/") and path.endswith("/converse-stream")
    form = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8})/eu-central-1/bedrock/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        headers["authorization"],
    )
    assert form, headers["authorization"]
    day, names, signature = form.groups()
    names = names.split(";")
    assert {"host", "x-amz-date"} <= set(names) and headers["x-amz-date"].startswith(day)
    assert ("x-amz-security-token" in names) == session
    request = AWSRequest("POST", bedrock.url + path, {name: headers[name] for name in names}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY, SECRET, TOKEN if session else None), "bedrock", "eu-central-1")
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert signature == expected
    # The comparison sees a difference.
    request.data = body + b" "
    assert signature != signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)


def test_a_bearer_key_is_sent_in_place_of_a_signature(tmp_path, bedrock):
    done = check(tmp_path, bedrock, "amazon.nova-lite-v1:0", AWS_BEARER_TOKEN_BEDROCK="a-bearer-key", **PLACE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a-bearer-key" not in done.stdout + done.stderr
    [(_, headers, _)] = bedrock.requests
    assert headers["authorization"] == "Bearer a-bearer-key"


INVALID = "The provided model identifier is invalid."
PROFILE = (
    "Invocation of model ID m with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an "
    "inference profile that contains this model."
)


@pytest.mark.parametrize(
    ("env", "refusal", "said"),
    [
        (PLACE, None, "no AWS credentials were found: set AWS_BEARER_TOKEN_BEDROCK, AWS_PROFILE or AWS_ACCESS_KEY_ID"),
        (SIGNER, None, "no AWS region is known: set AWS_REGION"),
        (SIGNER | PLACE, (403, "AccessDeniedException", "You don't have access to the model."), "grant model access in the Bedrock console"),
        (SIGNER | PLACE, (403, "ExpiredTokenException", "The security token is expired."), "refused the credentials"),
        (SIGNER | PLACE, (403, "UnrecognizedClientException", "The security token is invalid."), "refused the credentials"),
        (SIGNER | PLACE, (400, "ValidationException", INVALID), 'does not know the model "m"'),
        (SIGNER | PLACE, (404, "ResourceNotFoundException", "Model not found."), 'does not know the model "m"'),
        (SIGNER | PLACE, (400, "ValidationException", PROFILE), "use the profile's id, for example us.m or eu.m"),
        (SIGNER | PLACE, (429, "ThrottlingException", "Too many requests."), "try again later"),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path, bedrock, env, refusal, said):
    bedrock.refusal = refusal
    done = check(tmp_path, bedrock, "bedrock/m", **env)
    assert done.returncode != 0
    assert said in done.stdout, done.stdout + done.stderr
    # One tiny request, and no retry.
    assert len(bedrock.requests) == (1 if refusal else 0)
