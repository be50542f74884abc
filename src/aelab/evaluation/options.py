"""What the options of parts may be."""

from aelab.errors import ConfigurationError


def at_least(least: int, **options: int | None) -> None:
    """ConfigurationError for an option below `least`, or no whole number; None is whatever there is."""
    for name, value in options.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigurationError(f"{name}={value}: a whole number is needed")
        if value < least:
            raise ConfigurationError(f"{name}={value}: at least {least} is needed")
