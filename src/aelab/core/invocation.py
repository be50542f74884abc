"""How the command at hand was called, for what repeats it: further ranks, trials, a line to copy."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aelab.core.terminal import from_here


@dataclass(frozen=True)
class Invocation:
    """The words of a command line before its overrides.

    program: as in `sys.argv[0]`.  command: its name, where the program has several.
    conf: the folders of configurations that it was given, in full.  trust: the parts that it is to trust.
    """

    program: str
    command: tuple[str, ...] = ()
    conf: tuple[Path, ...] = ()
    trust: tuple[str, ...] = ()

    def argv(self, overrides: Sequence[str]) -> list[str]:
        """What `sys.argv` is for these overrides, in any folder."""
        return [self.program, *self.command, *self._flags(map(str, self.conf)), *overrides]

    def shown(self, overrides: Sequence[str]) -> str:
        """The same as a user would type it here."""
        flags = self._flags(map(from_here, self.conf))
        return shlex.join([*self._called(), *self.command, *flags, *overrides])

    def _called(self) -> list[str]:
        path = Path(self.program)
        if path.name == "__main__.py":
            return ["python", "-m", path.parent.name]
        if path.suffix == ".py":
            return ["python", self.program]
        return [path.name if shutil.which(path.name) == self.program else self.program]

    def _flags(self, conf: "map[str]") -> list[str]:
        trust = [f"trust=[{','.join(self.trust)}]"] if self.trust else []
        return [*(word for path in conf for word in ("--config-dir", path)), *trust]


_ours = Invocation(sys.argv[0])


def called(invocation: Invocation) -> None:
    """Say how this process was called."""
    global _ours
    _ours = invocation


def invocation() -> Invocation:
    """How this process was called."""
    return _ours
