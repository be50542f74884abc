"""What a command prints, on terminals of several widths."""

import io

import pytest
from comparison_examples import comparison

from aelab.comparison.tables import parts
from aelab.core.terminal import console
from aelab.core.text import hung

LONG = "alarm     collapse: samples lie closer to one another than observations do, of /a/long/path.png too"


class Screen(io.StringIO):
    """A terminal that keeps what it is shown."""

    def isatty(self):
        return True


@pytest.fixture(params=[40, 80, 160])
def screen(request, monkeypatch):
    """A terminal and its width."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return Screen(), request.param


def lines(screen):
    return screen.getvalue().replace("\x1b[1m", "").replace("\x1b[3m", "").replace("\x1b[0m", "").splitlines()


def test_a_line_goes_on_at_a_word_below_the_first_one(screen):
    shown, width = screen
    console(file=shown).print(LONG)
    first, *later = lines(shown)
    assert " ".join([first, *(line.strip() for line in later)]) == LONG
    assert all(line.startswith(" " * 10) and line[10] != " " for line in later)
    assert max(map(len, (first, *later))) <= width
    assert bool(later) == (width < len(LONG))


def test_paths_commands_and_what_no_terminal_reads_stay_whole(screen):
    shown, _ = screen
    console(file=shown).out("tracker   wandb sync " + "a/" * 90, highlight=False)
    assert lines(shown) == ["tracker   wandb sync " + "a/" * 90]
    assert hung("run       " + "a/" * 90, 80) == "run       " + "a/" * 90
    piped = io.StringIO()
    console(file=piped).print(LONG * 3)
    assert piped.getvalue() == LONG * 3 + "\n"


def test_words_of_a_folder_are_no_markup():
    shown = io.StringIO()
    console(file=shown).print("run       runs/:smile:/[bold]vae[/bold]")
    assert shown.getvalue() == "run       runs/:smile:/[bold]vae[/bold]\n"


@pytest.mark.parametrize("screen", [80, 160], indirect=True)
def test_a_comparison_fits_its_terminal_and_cuts_no_number(screen, tmp_path):
    shown, width = screen
    found = comparison(tmp_path, ["a_group_with_a_name_that_is_far_too_long_for_its_column", "b"])
    for part in parts(found, 0.05, width):
        console(file=shown).print(part)
    assert "…" not in shown.getvalue()
    assert max(map(len, lines(shown))) <= width
