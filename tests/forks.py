"""Scripts as a user starts them, but in forks of this process, which has imported all that they need."""

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO


@dataclass(frozen=True)
class Started:
    """A script under way."""

    line: list[str]
    process: BaseProcess
    outputs: tuple[IO[str], IO[str]]

    @property
    def pid(self) -> int:
        """The process's number, for signals."""
        assert self.process.pid is not None
        return self.process.pid

    def wait(self, timeout: float = 240) -> CompletedProcess[str]:
        """What `subprocess.run` returns; it fails after `timeout` seconds."""
        self.process.join(timeout)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            raise TimeoutError(f"{self.line} goes on after {timeout} s")
        for output in self.outputs:
            output.seek(0)
        return CompletedProcess(self.line, code, *(output.read() for output in self.outputs))


def start(script: Path | str, *arguments: Path | str, env: Mapping[str, str]) -> Started:
    """`python SCRIPT ARGUMENTS`, as `subprocess.Popen` starts it."""
    outputs = (tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+"))  # noqa: SIM115
    line = [str(script), *map(str, arguments)]
    process = multiprocessing.get_context("fork").Process(target=_run, args=(line, env, outputs))
    process.start()
    return Started(line, process, outputs)


def run(script: Path | str, *arguments: Path | str, env: Mapping[str, str]) -> CompletedProcess[str]:
    """`python SCRIPT ARGUMENTS`, as `subprocess.run` runs it."""
    return start(script, *arguments, env=env).wait()


def run_ranks(script: Path | str, *arguments: Path | str, env: Mapping[str, str]) -> None:
    """The same as the two ranks of one machine that a starter other than Lightning tells their places.

    Lightning would start the second one in an interpreter of its own; it fails where one of them does.
    """
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [start(script, *arguments, env={**env, **address, "LOCAL_RANK": f"{rank}"}) for rank in (0, 1)]
    for done in [rank.wait() for rank in ranks]:
        assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _run(line: list[str], env: Mapping[str, str], outputs: Sequence[IO[str]]) -> None:
    os.environ.clear()
    os.environ.update(env)
    for number, output in enumerate(outputs, 1):
        os.dup2(output.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1) for number in (1, 2))
    sys.argv = line
    sys.path[:0] = [str(Path(line[0]).parent), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    runpy.run_path(line[0], run_name="__main__")
