"""What the tests of the parts of an evaluation share."""

import pytest

from aelab.evaluation.findings import Findings


@pytest.fixture
def found(tmp_path):
    """What a part finds of a subject."""

    def find(part, of):
        findings = Findings(tmp_path / "evaluation")
        part(of, findings)
        return findings

    return find
