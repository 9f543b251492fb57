"""deploy/Dockerfile and deploy/kubernetes.yaml: read by the tools that know them, and held against the program.

There is no Docker engine here; what can be known without one is checked: the syntax, the rules of hadolint and checkov,
Kubernetes' own schemas, that every file that is copied is there, and that both files mean the same program.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

import dockerfile_parse
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/Dockerfile"
MANIFEST = ROOT / "deploy/kubernetes.yaml"

# What checkov says and we do not follow, and why.
EXCEPTIONS = {
    "CKV_K8S_21": "the namespace is the one that the user applies the manifest to",
    "CKV_K8S_11": "a limit of the processor only makes answers slower; the request is what places the pod",
    "CKV_K8S_15": "the image has a version, so what a node has is what is meant",
    "CKV_K8S_43": "the image is a placeholder",
}


def tool(name, *arguments):
    """Runs a tool of the tests' own environment; its exit code and what it printed."""
    done = subprocess.run([pathlib.Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def instructions(path=DOCKERFILE):
    """The Dockerfile's instructions by stage: `{stage: [(instruction, value)]}`; the last stage is `final`."""
    # The parser writes where it is not given a file of its own.
    parser = dockerfile_parse.DockerfileParser(fileobj=open(path, "rb"))
    stages, name = {}, None
    for step in parser.structure:
        if step["instruction"] == "FROM":
            named = re.search(r"\sAS\s+(\S+)$", step["value"])
            name = named.group(1) if named else "final"
            stages[name] = []
        if step["instruction"] != "COMMENT":
            stages[name].append((step["instruction"], step["value"]))
    return stages


def values(stage, instruction):
    return [value for name, value in instructions()[stage] if name == instruction]


def environment():
    """The variables that the image sets."""
    return dict(pair.split("=", 1) for value in values("final", "ENV") for pair in value.split())


def manifest(kind):
    found = [part for part in yaml.safe_load_all(MANIFEST.read_text()) if part["kind"] == kind]
    assert len(found) == 1, f"{kind}: {len(found)}"
    return found[0]


def pod():
    return manifest("Deployment")["spec"]["template"]["spec"]


def container():
    (only,) = pod()["containers"]
    return only


def test_hadolint_finds_nothing(tmp_path):
    code, said = tool("hadolint", str(DOCKERFILE))
    assert code == 0, said
    broken = tmp_path / "Dockerfile"
    broken.write_text("FROM debian\nRUN cd /tmp\nUSER root\n")
    code, said = tool("hadolint", str(broken))
    assert code != 0 and "DL3002" in said, "hadolint knows what is wrong"


def test_checkov_finds_nothing_but_what_is_explained():
    arguments = ["--framework", "dockerfile", "kubernetes", "--skip-download", "--quiet", "--output", "json"]
    _, said = tool("checkov", "--directory", str(ROOT / "deploy"), *arguments)
    reports = {report["check_type"]: report for report in json.loads(said)}
    assert set(reports) == {"dockerfile", "kubernetes"}
    for report in reports.values():
        assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 20
    failed = {check["check_id"] for report in reports.values() for check in report["results"]["failed_checks"]}
    assert failed == set(EXCEPTIONS)


@pytest.mark.parametrize("version", ["1.30", "1.33", "1.37"])
def test_the_manifest_is_what_kubernetes_takes(version, tmp_path):
    code, said = tool("kubernetes-validate", "--strict", "--kubernetes-version", version, str(MANIFEST))
    assert code == 0, said
    kinds = [part["kind"] for part in yaml.safe_load_all(MANIFEST.read_text())]
    assert said.count("passed for resource") == len(kinds), said
    broken = tmp_path / "broken.yaml"
    broken.write_text(MANIFEST.read_text().replace("containerPort: 8080", "containerPort: web"))
    code, said = tool("kubernetes-validate", "--strict", "--kubernetes-version", version, str(broken))
    assert code != 0, said


def test_what_is_copied_is_there():
    stages = instructions()
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = 0
    for stage, steps in stages.items():
        arguments = dict(value.split("=", 1) for name, value in steps if name == "ARG")
        for value in (value for name, value in steps if name == "COPY"):
            words = value.split()
            options = [word for word in words if word.startswith("--")]
            *sources, _ = [word for word in words if not word.startswith("--")]
            origin = next((word.removeprefix("--from=") for word in options if word.startswith("--from=")), None)
            for source in sources:
                for name, default in arguments.items():
                    source = source.replace("${" + name + "}", default)
                copied += 1
                if origin is None:
                    assert (ROOT / source).exists(), f"{stage}: {source}"
                    assert source.rstrip("/") not in ignored, f"{stage}: {source} is left out of the context"
                else:
                    made = " ".join(value for name, value in stages[origin] if name in ("RUN", "WORKDIR"))
                    # What npm builds is named in its script, the rest in the stage itself.
                    assert source in made or source == "/src/web/dist", f"{stage}: {origin} makes no {source}"
    assert copied >= 5
    # The default agent is one, and the page's build makes the folder that the server's build embeds.
    assert (ROOT / "examples/hello/loquat.toml").is_file()
    scripts = json.loads((ROOT / "web/package.json").read_text())["scripts"]
    assert "npm --prefix web run build" in values("page", "RUN")[0] and "vite build" in scripts["build"]
    assert "web/dist" in ignored, "a page of the user's own machine must not get in"
    assert '"../../web"' in (ROOT / "crates/server/build.rs").read_text()


def test_the_build_names_what_the_workspace_has():
    (command,) = values("build", "RUN")
    package = re.search(r"--package (\S+)", command).group(1)
    program = re.search(r"--bin (\S+)", command).group(1)
    cli = tomllib.loads((ROOT / "crates/cli/Cargo.toml").read_text())
    assert cli["package"]["name"] == package
    assert program in [target["name"] for target in cli["bin"]]
    assert f"target/release/{program} " in command
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    number = lambda text: tuple(int(part) for part in text.split("."))
    (base,) = [value for value in values("build", "FROM")]
    assert number(re.match(r"rust:([\d.]+)-", base).group(1)) >= number(workspace["rust-version"])
    engine = json.loads((ROOT / "web/package.json").read_text())["engines"]["node"]
    node = re.search(r"node:(\d+)-", values("page", "FROM")[0]).group(1)
    assert int(node) >= number(engine.removeprefix(">="))[0]
    # One Debian builds and runs it: a newer glibc there would not be found here.
    assert "-bookworm" in base and "debian12" in values("final", "FROM")[0]


def test_the_image_is_built_for_any_processor():
    text = DOCKERFILE.read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for word in ("x86_64", "amd64", "aarch64", "arm64", "--target ", "@sha256:"):
        assert word not in code, f"{word} ties the image to one processor"
    # Only the page, which is the same everywhere, is built on the builder's own.
    assert re.findall(r"--platform=(\S+)", code) == ["$BUILDPLATFORM"]
    assert "--platform=" in values("page", "FROM")[0]


def test_nobody_is_root_and_nothing_is_writable_but_the_data():
    user = values("final", "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "Kubernetes can only tell a number that is not root"
    assert values("final", "FROM") == ["gcr.io/distroless/cc-debian12:nonroot"]
    data = environment()["LOQUAT_DATA_DIR"]
    (given,) = [value for value in values("final", "COPY") if value.split()[-1] == data]
    assert f"--chown={user}" in given
    security = pod()["securityContext"]
    assert security["runAsNonRoot"] and str(security["runAsUser"]) == user.split(":")[0]
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container()["volumeMounts"]] == [data]


def test_ports_and_health_are_those_of_the_program():
    port = environment()["PORT"]
    # AgentCore's contract: port 8080 on every address.
    assert (port, environment()["HOST"], values("final", "EXPOSE")) == ("8080", "0.0.0.0", [port])
    (named,) = container()["ports"]
    assert str(named["containerPort"]) == port
    (served,) = manifest("Service")["spec"]["ports"]
    assert served["targetPort"] == named["name"]
    assert manifest("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"] == named["name"]
    readiness = container()["readinessProbe"]["httpGet"]
    routes = (ROOT / "crates/server/src/app.rs").read_text()
    assert readiness["port"] == named["name"] and f'"{readiness["path"]}"' in routes
    # A draining instance is not to be killed for saying so.
    assert container()["livenessProbe"]["tcpSocket"]["port"] == named["name"]
    (entry,) = values("final", "ENTRYPOINT")
    (check,) = values("final", "HEALTHCHECK")
    assert json.loads(check.split("CMD ", 1)[1]) == json.loads(entry) + ["health"]


def test_every_variable_is_one_that_the_program_reads():
    known = set(re.findall(r'^    "([A-Z_0-9]+)" "', (ROOT / "crates/server/src/config/env.rs").read_text(), re.M))
    assert len(known) > 50
    said = {variable["name"]: variable["value"] for variable in container()["env"]}
    assert set(said) | set(environment()) <= known
    assert int(said["LOQUAT_DRAIN_SECONDS"]) < pod()["terminationGracePeriodSeconds"]
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    for kind, place in [("Service", "selector"), ("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")]:
        selector = manifest(kind)["spec"][place]
        assert selector.get("matchLabels", selector) == labels, kind
