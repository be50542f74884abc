"""`python -m aelab` is `aelab`."""

from aelab.cli.console import main

if __name__ == "__main__":
    main()
