"""A study in a real PostgreSQL server, shared by processes that die."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import pytest
from optuna.trial import TrialState
from studies import POINTS, overrides, shared_record, together

from aelab.core.errors import SweepError
from aelab.sweeps.storage import displayed, open_storage

pytest.importorskip("psycopg")
TOOLS = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
if found := shutil.which("initdb"):
    TOOLS.append(Path(found).parent)
pytestmark = pytest.mark.skipif(not TOOLS, reason="no PostgreSQL on this machine")


def as_owner(command):
    """PostgreSQL refuses to run as root."""
    if os.getuid() == 0:
        command = ["su", "postgres", "-s", "/bin/sh", "-c", " ".join(command)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def server():
    """The URL of a server with an empty database."""
    tools, home = TOOLS[-1], Path(mkdtemp())
    if os.getuid() == 0:
        shutil.chown(home, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = home / "data"
    as_owner([f"{tools}/initdb", "-D", f"{data}", "-A", "trust", "-U", "aelab"])
    options = f"'-p {port} -k {home} -c listen_addresses=127.0.0.1'"
    as_owner([f"{tools}/pg_ctl", "-D", f"{data}", "-l", f"{home}/log", "-w", "-o", options, "start"])
    yield f"postgresql+psycopg://aelab:secret@127.0.0.1:{port}/postgres"
    as_owner([f"{tools}/pg_ctl", "-D", f"{data}", "-m", "immediate", "stop"])
    shutil.rmtree(home)


def record(server, **options):
    return shared_record(open_storage(server, Path("unused")), **options)


@pytest.mark.slow
def test_processes_share_a_study_and_what_one_leaves_is_taken_back(server):
    together(record, (server,), (server, 3))
    together(record, (server,))
    done = overrides(record(server), TrialState.COMPLETE)
    assert sorted(done) == sorted(point[0] for point in POINTS)
    assert not record(server).is_open()


def test_a_study_of_something_else_is_refused(server):
    record(server)
    with pytest.raises(SweepError, match="overrides differ"):
        record(server, question="data=digits")


def test_the_password_is_not_shown(server):
    assert "secret" not in displayed(server, Path())
