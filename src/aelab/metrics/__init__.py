"""Estimands: the same numbers for every variant, each from the same `Trace`."""
