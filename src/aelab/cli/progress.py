"""A bar for the blocks that a job passes."""

from collections.abc import Iterator, Sequence

from tqdm import tqdm


def bar(blocks: Sequence[slice]) -> Iterator[slice]:
    """The same blocks, shown as observations while they are under way, on a terminal."""
    with tqdm(total=sum(each.stop - each.start for each in blocks), leave=False, disable=None) as shown:
        for block in blocks:
            yield block
            shown.update(block.stop - block.start)
