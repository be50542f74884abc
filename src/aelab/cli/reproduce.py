"""`aelab reproduce`: train recorded runs again and compare."""

from aelab.reproduction.reproduce import main

__all__ = ["main"]
