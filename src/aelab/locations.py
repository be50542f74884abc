"""Where the project's own files lie."""

from pathlib import Path


def conf_dir() -> Path:
    """The folder of the configuration: beside `src` in a checkout, inside the package once installed."""
    package = Path(__file__).parent
    checkout = package.parents[1] / "conf"
    return checkout if (checkout / "train.yaml").is_file() else package / "conf"
