"""`aelab encode` without an installation: `python scripts/encode.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("encode")
