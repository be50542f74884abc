"""`aelab augment` without an installation: `python scripts/augment.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("augment")
