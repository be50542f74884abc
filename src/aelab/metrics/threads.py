"""How many threads scikit-learn may take."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Loops as short as those of k-means on codes: a thread for each core would wait for the others at every
    step, a hundred times as long as the work takes where the cores are shared with other processes."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
