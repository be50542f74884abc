"""`aelab restore` without an installation: `python scripts/restore.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("restore")
