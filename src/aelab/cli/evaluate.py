"""`aelab evaluate`: score a trained run by a suite of estimators."""

from aelab.evaluation.evaluate import main

__all__ = ["main"]
