"""The mock model server, started once for all tests."""

import json
import os
import subprocess
import urllib.request

import pytest


class Mock:
    """The running mock."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.load(response)


@pytest.fixture(scope="session")
def mock():
    program = os.environ["LOQUAT_BENCH_BIN"]
    process = subprocess.Popen([program, "mock", "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("mock model server at "), line
        yield Mock(line.rsplit(" ", 1)[1].strip())
    finally:
        process.terminate()
        process.wait(timeout=10)
