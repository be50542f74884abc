"""One owner at a time: a claim that ends with the process that makes it, however that ends."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aelab.core.untrusted import open_file

WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class ClaimedError(Exception):
    """What is claimed by another process."""


@contextmanager
def claimed(lock: Path) -> Iterator[None]:
    """A context that one process at a time is in, of all that name the same file, which is made.

    The lock is the kernel's, which a network file system passes on to its server. Where there are no locks,
    which is said, nothing is claimed.
    Raises ClaimedError where another process is inside, and OSError where the file cannot be made.
    """
    with open_file(lock, "r+b", os.O_RDWR | os.O_CREAT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClaimedError(str(lock)) from error
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            print(
                f"warning: {lock.parent} knows no locks: start one process at a time there", file=sys.stderr
            )
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # also for processes that were forked meanwhile
