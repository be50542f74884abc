"""What can go wrong by a user's hand: each error is one sentence that says what, where and what would work.

Commands print these without a traceback and exit with status 1; any other exception is a defect of ours
and keeps its traceback.
"""

import errno


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


DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def lacks_disk(error: BaseException) -> str | None:
    """The sentence for an error that says that a disk takes no more, or no files of a moment; None else."""
    if not isinstance(error, OSError):
        return None
    if "No usable temporary directory" in str(error):
        return "there is no folder for temporary files: give one that can be written, as TMPDIR=/somewhere"
    if error.errno not in DISK:
        return None
    return (
        f"{error.filename or 'a file'} cannot be written ({error.strerror}): make room, then start again, or "
        "continue a run that has a resume point by resume=FOLDER"
    )


def lacks_memory(error: BaseException) -> str | None:
    """The sentence for an error that says that memory was asked for in vain; None for any other.

    torch says it in a plain RuntimeError.
    """
    words = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
    if isinstance(error, MemoryError) or any(word in str(error) for word in words):
        reason = (str(error).splitlines() or ["MemoryError"])[0][:200]
        return f"the memory is not enough ({reason}): choose smaller sizes, or fewer at once"
    return None
