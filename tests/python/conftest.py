"""The real binary with the mock model server, for tests that are written in Python."""

import hashlib
import json
import os
import secrets
import subprocess
import urllib.request

import pytest

# Planted: it must turn up nowhere.
MODEL_KEY = "sk-canary-model-key"


def _program(variable):
    path = os.environ.get(variable)
    assert path, f"{variable} is not set: run the tests with `cargo xtask test --only python`"
    return path


def _address(process, prefix):
    """Reads the lines that a server prints until the one with its address."""
    for line in process.stdout:
        if line.startswith(prefix):
            return line.split()[-1].strip()
    raise AssertionError(f"the process ended ({process.wait()}) without an address")


class Served:
    """A running service and a key for it."""

    def __init__(self, url, key, log):
        self.url = url
        self.key = key
        self._log = log

    def log(self):
        """Everything the service logged until now."""
        return self._log.read_text(errors="replace")


@pytest.fixture
def served(tmp_path):
    """The binary, with sessions in SQLite, sign-in by API key, no limits on rates, and the mock as its model."""
    key = "loquat_" + secrets.token_hex(24)
    mock = subprocess.Popen(
        [_program("LOQUAT_BENCH_BIN"), "mock", "--port", "0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    processes = [mock]
    try:
        model = _address(mock, "mock model server")
        log = tmp_path / "log"
        settings = {
            "HOME": str(tmp_path),
            "LOQUAT_DATA_DIR": str(tmp_path),
            "PORT": "0",
            "MODEL_ID": "openai/mock",
            "OPENAI_BASE_URL": f"{model}/v1",
            "OPENAI_API_KEY": MODEL_KEY,
            "AUTH_TYPE": "ApiKey",
            "LOQUAT_API_KEYS": f"tester={hashlib.sha256(key.encode()).hexdigest()}",
            "LOQUAT_TOOLS": "calculator,memory",
            "LOQUAT_REQUESTS_PER_MINUTE": "0",
            "LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS": "0",
            "LOQUAT_RUNS_PER_USER": "0",
            "LOQUAT_RUNS_PER_ADDRESS": "0",
            "LOQUAT_RUNS_TOTAL": "0",
            "LOQUAT_LOG_FORMAT": "json",
            "RUST_LOG": "debug",
        }
        with log.open("w") as stderr:
            server = subprocess.Popen(
                [_program("LOQUAT_BIN"), "serve"],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        processes.append(server)
        url = _address(server, "Address")
        with urllib.request.urlopen(f"{url}/health", timeout=30) as answer:
            assert answer.status == 200
        served = Served(url, key, log)
        yield served
        assert server.poll() is None, f"the service ended by itself ({server.returncode})"
        # Whatever a test did: secrets are in no log line, and no model was told them.
        with urllib.request.urlopen(f"{model}/_mock/requests", timeout=30) as answer:
            told = json.dumps([request["body"] for request in json.load(answer)])
        for secret in (key, MODEL_KEY):
            assert secret not in served.log(), "a secret is in the log"
            assert secret not in told, "a secret was sent to the model"
    finally:
        for process in processes:
            process.kill()
            process.wait()
