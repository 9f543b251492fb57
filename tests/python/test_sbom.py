"""The list of a release's parts against CycloneDX's own schema."""
import subprocess
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]


def test_the_list_of_parts_is_valid():
    made = subprocess.run(["cargo", "xtask", "sbom"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    validator = JsonStrictValidator(SchemaVersion.V1_5)
    assert validator.validate_str(made) is None
    # The validator sees what is wrong.
    assert validator.validate_str(made.replace('"type": "library"', '"type": "book"', 1)) is not None
