"""`aelab detect` without an installation: `python scripts/detect.py --help`."""

from aelab.cli.console import run

if __name__ == "__main__":
    run("detect")
