"""The node's WebSocket before the suite that other implementations are judged by."""

from pathlib import Path

import pytest

from tests.contract.outside.autobahn.suite import GATE_GROUPS, failed, run, table


@pytest.mark.needs("python2.7")
@pytest.mark.timeout(300)
def test_no_case_of_framing_text_closing_and_fragments_fails(tmp_path: Path) -> None:
    cases = run(GATE_GROUPS, tmp_path, timeout_s=240)
    assert set(table(cases)) == set(GATE_GROUPS)
    assert failed(cases) == []
