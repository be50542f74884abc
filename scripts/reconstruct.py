"""`aelab reconstruct` without an installation: `python scripts/reconstruct.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("reconstruct")
