"""What the tests of the parts of an evaluation share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., Findings]:
    """What a part finds of a subject."""

    def find(part: Callable[[Subject, Findings], None], of: Subject) -> Findings:
        findings = Findings(tmp_path / "evaluation")
        part(of, findings)
        return findings

    return find
