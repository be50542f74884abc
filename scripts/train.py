"""`aelab train` without an installation: `python scripts/train.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("train")
