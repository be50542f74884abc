"""What the options of parts may be."""

from aelab.errors import ConfigurationError


def at_least(least: int, **options: int | None) -> None:
    """ConfigurationError for an option below `least`; None is whatever there is."""
    for name, value in options.items():
        if value is not None and value < least:
            raise ConfigurationError(f"{name}={value}: at least {least} is needed")
