"""Where files lie: the project's own, and those that a user names."""

import os
from pathlib import Path


def conf_dir() -> Path:
    """The folder of the configuration: beside `src` in a checkout, inside the package once installed."""
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"


def from_user(path: str | Path) -> Path:
    """A path as a user gave it, with ~ as the home folder: no shell replaces it in code or in a file."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  # a Path raises where there is no such user
