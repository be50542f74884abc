"""`aelab decompress` without an installation: `python scripts/decompress.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("decompress")
