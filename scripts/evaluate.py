"""`aelab evaluate` without an installation: `python scripts/evaluate.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("evaluate")
