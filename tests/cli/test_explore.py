"""What the page is not served for."""

import socket

import pytest

from aelab.cli.explore import answered, free_port, main
from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError


def test_a_port_that_is_taken_is_refused_and_0_finds_a_free_one():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=rf"port={taken} cannot be served \(.* in use\): give another"
        ):
            free_port("127.0.0.1", taken)
        assert free_port("127.0.0.1", 0) != taken
    with pytest.raises(ConfigurationError, match="port=99999 cannot be served"):
        free_port("127.0.0.1", 99999)


def test_runs_of_different_data_do_not_stand_side_by_side(train, tmp_path):
    one = train()
    other = train("data.name=others")
    with pytest.raises(
        ConfigurationError, match=r"share their data, and these are of digits \[1, 8, 8\] and others"
    ):
        main(compose([f"runs=[{one.path},{other.path}]", "device=cpu"], "explore"))


def test_only_its_own_names_are_answered():
    assert "127.0.0.1" in answered("localhost")
    assert "*" not in answered("127.0.0.1")
    assert answered("0.0.0.0") == ["*"]
