"""`aelab explore` without an installation: `python scripts/explore.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("explore")
