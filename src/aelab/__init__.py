"""aelab: a laboratory for autoencoders.

Importing the package is free: torch and Lightning load with the parts that use them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aelab.runs.trained import Trained

__version__ = "0.1.0"


def load(
    path: "str | Path",
    device: "str | None" = "cpu",
    conf: "str | Path | None" = None,
    trust: "Sequence[str]" = (),
) -> "Trained":
    """The trained model of a run's folder, as `aelab.runs.trained.load`."""
    from aelab.runs.trained import load as load_trained

    return load_trained(path, device, conf, trust)
