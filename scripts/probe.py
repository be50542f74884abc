"""`aelab probe` without an installation: `python scripts/probe.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("probe")
