"""How processes that were started alike agree on one run: the first makes it, and names it to the others.

They meet at files below `outputs`, which all machines see. Each of the others asks by a file with a word of
its own, and takes only an answer that repeats that word: what an earlier group left behind is never believed.
"""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aelab.cluster.ranks import World
from aelab.core.errors import AelabError, RunError
from aelab.core.files import write_json
from aelab.core.untrusted import read_bytes

LOOK = 0.1  # seconds between two looks at the files
FAREWELL = 20.0  # seconds for the others to hear that there is no run


@dataclass
class Rendezvous:
    """One process's part in a rendezvous.

    folder: where all of them look.  patience: seconds to wait for others, whose machines may be slow to start
    and whose first process may be fetching its data.
    """

    world: World
    folder: Path
    patience: float = 600.0
    _announced: bool = field(default=False, init=False)

    def join(self) -> dict[str, Any]:
        """What the first process says of the run; `run` is None where nothing is left to train.

        Raises RunError where it refuses to train, or says nothing in time.
        """
        word, ours = secrets.token_hex(8), self._question(self.world.rank)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(ours, {"word": word})
        try:
            for _ in self._looks(self.patience):
                answer = _read(self._answer)
                if answer.get("heard", {}).get(str(self.world.rank)) == word:
                    return _accepted(answer)
        finally:
            ours.unlink(missing_ok=True)
        raise RunError(
            f"process {self.world.rank} of {self.world.size} waited {self.patience:g} s in {self.folder} "
            "for the first one: start all with the same command, where all see the same outputs"
        )

    def announce(self, patience: float | None = None, **facts: Any) -> None:
        """Give all others `facts`; returns when each of them has heard.

        Raises RunError where one does not ask in time.
        """
        self._announced = True
        silent, heard = set(range(1, self.world.size)), dict[int, str]()
        self.folder.mkdir(parents=True, exist_ok=True)
        patience = self.patience if patience is None else patience
        try:
            for _ in self._looks(patience):
                asking = {r: _read(self._question(r)).get("word") for r in range(1, self.world.size)}
                silent -= {rank for rank in heard if asking[rank] is None}  # it has taken its question away
                if not silent:
                    return
                now = {rank: word for rank, word in asking.items() if word is not None}
                if now != heard:
                    write_json(self._answer, {"heard": now, **facts})
                    heard = now
        finally:
            self._answer.unlink(missing_ok=True)
            with suppress(OSError):  # others meet here
                self.folder.rmdir()
        absent = ", ".join(map(str, sorted(silent)))
        raise RunError(
            f"of {self.world.size} processes, {absent} did not come to {self.folder} in {patience:g} s: "
            "start all with the same command, where all see the same outputs"
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whatever the first process does inside, the others do not wait for ever."""
        try:
            yield
        except BaseException as error:
            known = isinstance(error, AelabError)
            self._dismiss(error=str(error) if known else f"{type(error).__name__}: {error}")
            raise
        self._dismiss(run=None)

    def _dismiss(self, **facts: Any) -> None:
        if not self._announced:
            with suppress(RunError):  # the others have been ended, or were never started
                self.announce(FAREWELL, **facts)

    @property
    def _answer(self) -> Path:
        return self.folder / f"{self.world.group}.json"

    def _question(self, rank: int) -> Path:
        return self.folder / f"{self.world.group}.rank-{rank}.json"

    def _looks(self, seconds: float) -> Iterator[None]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield
            time.sleep(LOOK)


def _accepted(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise RunError(f"the first process does not train: {answer['error']}")
    return answer


def _read(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where it is not there."""
    with suppress(OSError, ValueError):
        found = json.loads(read_bytes(path))
        return found if isinstance(found, dict) else {}
    return {}
