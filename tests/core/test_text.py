"""Text of messages: one line each, whatever it quotes."""

from aelab.core.text import first_line, listed, sentence, sizes


def test_an_error_of_several_lines_is_one_sentence():
    assert sentence(ValueError("no such\n    key:  a\n")) == "no such key: a"
    assert first_line(ValueError("\nno such key\n  in: a\n")) == "no such key"
    assert first_line(ValueError()) == ""


def test_a_shape_is_written_by_its_sizes():
    assert (sizes((3, 32, 32)), sizes([7])) == ("3x32x32", "7")


def test_a_list_is_cut_with_the_number_of_the_others():
    assert listed([]) == ""
    assert listed("ab", 1) == "a and 1 more"
    assert listed(["a", "b,c"]) == "a; b,c"
