"""What can go wrong by a user's hand: each error is one sentence that says what, where and what would work.

Commands print these without a traceback and exit with status 1; any other exception is a defect of ours
and keeps its traceback.
"""


class AelabError(Exception):
    """Base of the errors that a user can cause and mend."""


class ConfigurationError(AelabError, ValueError):
    """An option, or a combination of options, that cannot be built."""


class DataError(AelabError, ValueError):
    """Data that are missing, damaged, or not what the configuration declares."""


class NonFiniteError(AelabError, ArithmeticError):
    """A loss, or a code, that is NaN or infinite."""


class ResumeError(AelabError, RuntimeError):
    """A run folder that cannot be continued."""


class RunError(AelabError, ValueError):
    """A run folder that is not what it should be, or names what the project does not have."""


class InapplicableError(AelabError, ValueError):
    """A measurement that this model or these data cannot serve; the others go on."""


class SweepError(AelabError, RuntimeError):
    """A study, or its storage, that cannot be begun or continued, or trials of it that failed."""
