"""`aelab export` without an installation: `python scripts/export.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("export")
