"""The contenders of scripts/benchmark.py."""
