"""`aelab sample` without an installation: `python scripts/sample.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("sample")
