from collections.abc import Iterator
from pathlib import Path

import pytest
import toys

from aelab.config.folders import searched_first


@pytest.fixture
def listed(tmp_path: Path) -> Iterator[None]:
    """The parts in toys.py as those of a folder of the user's own, which a resume trusts."""
    group = tmp_path / "own" / "objective"
    group.mkdir(parents=True)
    names = [name for name, each in vars(toys).items() if getattr(each, "__module__", "") == "toys"]
    (group / "toys.yaml").write_text("".join(f"{name}: {{_target_: toys.{name}}}\n" for name in names))
    with searched_first([group.parent]):
        yield
