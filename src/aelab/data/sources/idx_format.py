"""The IDX format of LeCun's MNIST page: a magic number, big-endian dimensions, then the raw values."""

import gzip
import math
import zlib

import numpy as np

from aelab.core.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def unpack(content: bytes, where: str) -> bytes:
    """`content` of the file `where` without its gzip wrapper, if it has one."""
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{where}: damaged gzip ({error}); put an intact copy in its place") from error


def parse(content: bytes, where: str) -> np.ndarray:
    """The array in the unpacked `content` of the file `where`, in native byte order.

    DataError unless the header agrees with the length to the byte.
    """
    code, ndim = _magic(content, where)
    dtype = np.dtype(DTYPES[code])
    start = 4 + 4 * ndim
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, start, 4)]
    # In Python's integers, for a header can declare more than 2**64 values; nothing is allocated for them.
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected or 0 in shape:
        raise DataError(
            f"{where}: its IDX header declares the shape {shape} and {expected:,} bytes unpacked, there are "
            f"{len(content):,}; put an intact copy with at least one value in its place"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _magic(content: bytes, where: str) -> tuple[int, int]:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES or not 0 < content[3] < 5:
        raise DataError(
            f"{where}: not an IDX file, it starts with bytes {content[:4].hex(' ') or '(none)'}; "
            "the magic number is 00 00, a type from 08 to 0e and 1 to 4 dimensions"
        )
    return content[2], content[3]
