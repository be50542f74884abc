"""`aelab compress` without an installation: `python scripts/compress.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("compress")
