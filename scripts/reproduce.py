"""`aelab reproduce` without an installation: `python scripts/reproduce.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("reproduce")
