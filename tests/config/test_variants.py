"""A variant is a few lines."""

import pytest

from aelab.config.folders import choices
from aelab.core.paths import conf_dir


@pytest.mark.parametrize("variant", choices("variant"))
def test_a_variant_is_one_to_eight_lines(variant):
    lines = (conf_dir() / "variant" / f"{variant}.yaml").read_text().splitlines()
    counted = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert 1 <= len(counted) <= 8
    assert max(map(len, lines)) <= 120
