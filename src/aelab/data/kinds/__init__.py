"""The kinds of observations: how their errors are measured, how they are shown, read and written."""

from aelab.data.kinds.base import Kind
from aelab.data.kinds.pixels import Pixels
from aelab.data.kinds.reals import Reals
from aelab.data.kinds.table import Table
from aelab.data.kinds.tokens import Tokens
from aelab.data.kinds.waves import Waves

__all__ = ["Kind", "Pixels", "Reals", "Table", "Tokens", "Waves"]
