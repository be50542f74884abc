"""Configurations: composed, built, trusted, compared."""
