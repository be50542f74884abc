"""`aelab compare` without an installation: `python scripts/compare.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("compare")
