"""Requests made from the node's own OpenAPI document, sound and broken ones, by schemathesis.

The node may refuse what it likes; it may not fail, and what it answers is what its document says:
status, media type, headers, schema. ``scripts/fuzz-api.sh`` runs the same for longer.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.contract.outside.running_node import RunningNode

EXAMPLES: Final = os.environ.get("SPRAWL_FUZZ_EXAMPLES", "10")
SEED: Final = os.environ.get("SPRAWL_FUZZ_SEED", "1")
SECONDS_MAX: Final = float(os.environ.get("SPRAWL_FUZZ_S", "150"))
CHECKS: Final = (
    "no_defect",
    "content_type_conformance",
    "status_code_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
ROOT: Final = Path(__file__).parents[3]


@pytest.mark.needs("schemathesis")
@pytest.mark.timeout(SECONDS_MAX + 30)
def test_every_answer_is_one_that_the_document_has(node: RunningNode, tmp_path: Path) -> None:
    run = subprocess.run(
        [
            *(Path(sys.executable).with_name("st"), "run", f"{node.url}/openapi.json"),
            *("--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)),
            *("--max-examples", EXAMPLES, "--seed", SEED, "--mode", "all"),
            *("--request-timeout", "10", "--workers", "1", "--no-color", "--continue-on-failure"),
        ],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.contract.outside.schemathesis_hooks",
        },
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert node.get("/health")["status"] in ("ok", "warning")
