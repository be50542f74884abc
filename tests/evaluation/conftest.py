"""What the tests of the parts of an evaluation share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of five grey pictures, whose names begin as formulas do."""
    folder = tmp_path / "in"
    folder.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)
    for place, level in enumerate(levels):
        Image.fromarray(level).save(folder / f"={place}.png")
    return folder
