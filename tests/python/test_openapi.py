"""The service answers every request that fits its own description, and every one that does not, as that says."""

import json
import os
import subprocess
import urllib.request

# What is undocumented, and what a careless handler does.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
    "use_after_free",
]


def schemathesis(served, folder, location, *more):
    """Runs the tester; its exit code, what it said, and its report."""
    report = folder / "report.json"
    command = [
        os.environ["SCHEMATHESIS"],
        "run",
        location,
        "--checks=" + ",".join(CHECKS),
        f"--header=Authorization: Bearer {served.key}",
        "--max-examples=15",
        "--generation-deterministic",
        "--continue-on-failure",
        "--request-timeout=20",
        # Threads of the tester trip over a defect of Python 3.11's own parser.
        "--workers=1",
        "--no-color",
        "--report=json",
        f"--report-json-path={report}",
        *more,
    ]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    return ran.returncode, ran.stdout + ran.stderr, json.loads(report.read_text()) if report.exists() else {}


def test_no_answer_is_a_failure_or_undocumented(served, tmp_path):
    code, said, report = schemathesis(served, tmp_path, f"{served.url}/openapi.json")
    assert code == 0, said[-20000:]
    # A tester that could not make requests would find nothing, too.
    assert "passed" in said and report, said[-2000:]


def test_an_answer_that_is_not_described_would_be_found(served, tmp_path):
    with urllib.request.urlopen(f"{served.url}/openapi.json", timeout=30) as answer:
        described = json.load(answer)
    operation = described["paths"]["/sessions"]["get"]
    operation["responses"]["200"]["content"]["application/json"]["schema"] = {"type": "string"}
    described["paths"] = {"/sessions": {"get": operation}}
    described["servers"] = [{"url": served.url}]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(described))
    code, said, _ = schemathesis(served, tmp_path, str(changed), f"--url={served.url}")
    assert code == 1 and "violates schema" in said, said[-2000:]
