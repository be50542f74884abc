"""Text: vocabularies, how files are cut, what is refused, and a grammar of known entropy."""

import math
from itertools import product

import numpy as np
import pytest

from aelab.core.errors import AelabError, ConfigurationError, DataError
from aelab.data.grammar import Grammar, english
from aelab.data.kinds import Tokens
from aelab.data.sources.text import Text
from aelab.data.survey import text as survey
from aelab.data.vocabulary import BytePairs, Bytes, Characters, Words
from aelab.models.distributions.sequences import END, PAD

TEXT = "ein Fuß,\nzwei Füße ${x}.\n\nDrei! Vier? Fünf\n"


@pytest.mark.parametrize("made", [Characters, Bytes, BytePairs, Words])
def test_text_comes_back_of_a_vocabulary_that_is_plain_values(made):
    known = made().learn([TEXT])
    assert all("${" not in value for value in known.values())
    vocabulary, line = made(**known), "zwei Füße ${x}."
    tokens = vocabulary.encode(line)
    assert vocabulary.decode(tokens) == line
    assert min(tokens) >= 2
    assert max(tokens) < vocabulary.size


def test_pairs_that_are_often_side_by_side_become_one_token():
    vocabulary = BytePairs(**BytePairs(count=262).learn(["abab abab abab"]))
    assert vocabulary.size <= 262
    assert len(vocabulary.encode("abab")) < 4
    assert vocabulary.decode(vocabulary.encode("über ab")) == "über ab"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def source(root, shape=(20,), texts=TEXT, **options):
    return Text(root, Characters(**Characters().learn([texts])), shape, **options)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("lines", ["ein Fuß,", "zwei Füße ${x}.", "Drei! Vier? Fünf"]),
        ("sentences", ["ein Fuß, zwei Füße ${x}.", "Drei!", "Vier?", "Fünf"]),
        ("windows", ["ein Fuß,\nz", "wei Füße $", "{x}.\n\nDrei", "! Vier? Fü"]),
    ],
)
def test_a_text_is_cut_into_lines_sentences_or_windows(file, unit, expected):
    text = source(file, (10 if unit == "windows" else 30,), unit=unit, test=1)
    splits, kind = text.load(), Tokens(text.vocabulary)
    assert [*kind.texts(splits.train.x), *kind.texts(splits.test.x)] == expected
    assert (splits.train.x == END).any() == (unit != "windows")
    assert splits.notes == (
        ["left aside: the last 3 tokens, which fill no window"] if unit == "windows" else []
    )


def test_files_of_a_folder_are_splits_by_their_names(tmp_path):
    for name in ("train", "test", "valid"):
        (tmp_path / f"{name}.txt").write_text(f"{name} eins\n{name} zwei\n")
    given = {"root": str(tmp_path), "name": "text", "kind": {"vocabulary": vocabulary_node()}}
    found = survey({**given, "source": {"unit": "lines", "encoding": "utf-8", "longer": "refuse"}})
    assert found["shape"] == [11]
    assert "validation" not in found
    splits = source(tmp_path, texts="train test valid eins zwei").load()
    assert (len(splits.train), len(splits.test), len(splits.validation)) == (2, 2, 2)


def vocabulary_node():
    return {"_target_": "aelab.data.vocabulary.Characters", "symbols": None}


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (b"", {}, r"my.txt: holds no text"),
        (b"\n \n", {}, r"my.txt: holds no text"),
        (b"abc\0def", {}, r"my.txt: byte 3 is zero"),
        (b"one\ntwo \xe9\n", {}, r"my.txt, line 2: byte 8 is no utf-8.*encoding=latin-1"),
        (b"one\nnine nine nine\n", {"shape": (6,)}, r"my.txt, line 2: 15 tokens .* data.shape=\[15\]"),
        (b"one\ntwo\nXX\n", {"texts": "one two"}, r"my.txt, line 3: the character 'X' is none"),
        (b"one\ntwo", {"unit": "words"}, "choose lines, sentences, windows"),
        (b"one\ntwo", {"encoding": "utf-99"}, "is no encoding"),
        (b"one\ntwo", {"longer": "drop"}, "choose refuse or cut"),
        (b"one\ntwo", {"unit": "windows", "shape": (99,)}, "holds 7 tokens, and a window has 99"),
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence_with_its_place(tmp_path, content, options, sentence):
    path = tmp_path / "my.txt"
    path.write_bytes(content)
    with pytest.raises(AelabError, match=sentence) as refusal:
        source(path, **{"texts": content.decode("latin-1"), **options}).load()
    assert len(str(refusal.value).splitlines()) == 1


def test_what_would_work_works(tmp_path):
    path = tmp_path / "my.txt"
    path.write_bytes(b"one\nnine nine nine\ntwo \xe9\n")
    splits = source(path, (6,), texts="one nine two é", longer="cut", encoding="latin-1", test=1).load()
    assert splits.train.x[1].min() > END
    assert splits.train.x[0].tolist()[3:] == [END, PAD, PAD]
    assert "my.txt, line 2" in splits.notes[0]


def test_a_place_without_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="no text is there"):
        source(tmp_path).load()
    with pytest.raises(DataError, match="must name a file of text"):
        survey({"root": "/nowhere", "name": "text", "shape": None})


def test_texts_and_tokens_of_a_user_are_read():
    kind = Tokens(Characters("abc"))
    assert kind.parse(["ab", "abcabc"], (6,)).tolist() == [[2, 3, 1, 0, 0, 0], [2, 3, 4, 2, 3, 4]]
    assert kind.parse(np.array([2, 3, 1]), (3,)).shape == (1, 3)
    for given, sentence in [
        ("abx", "text 0: the character 'x'"),
        ("abcabca", "8 tokens"),
        (np.zeros((1, 6)), "whole numbers"),
        (np.full((1, 6), 9), "0 to 4 exist"),
        (np.zeros((1, 6), int), "one above 0"),
        ([["a"], 3], "whole numbers|not these"),
    ]:
        with pytest.raises(DataError, match=sentence):
            kind.parse(given, (6,))


def test_sequences_are_written_as_they_are_read(tmp_path):
    kind = Tokens(Characters("abc\n"))
    kind.write(tmp_path, [kind.parse(["ab", "cc"], (4,))], ["0", "1"])
    names, blocks = kind.read(str(tmp_path / "texts.txt"), (4,))
    assert names == ["texts.txt, line 1", "texts.txt, line 2"]
    assert kind.texts(next(blocks)) == ["ab", "cc"]


def test_the_entropy_of_a_grammar_is_that_of_all_its_sentences():
    rules = {"S": [(0.25, "A A"), (0.75, "A")], "A": [(0.5, "x"), (0.2, "y"), (0.3, "z z")]}
    grammar = Grammar(rules, "S")
    words = {"x": 0.5, "y": 0.2, "z z": 0.3}
    pairs = {f"{a}|{b}": 0.25 * p * q for (a, p), (b, q) in product(words.items(), repeat=2)}
    every = {**{a: 0.75 * p for a, p in words.items()}, **pairs}
    assert grammar.entropy == pytest.approx(-sum(p * math.log(p) for p in every.values()))
    assert grammar.length == pytest.approx(
        sum(p * len(t.replace("|", " ").split()) for t, p in every.items())
    )
    assert grammar.longest == 4


def test_sentences_are_derived_in_one_way_and_as_often_as_they_are_probable():
    """Of an unambiguous grammar the mean of -log p is the entropy, and words are as frequent as p says."""
    grammar, random = Grammar(english()), np.random.RandomState(1)
    drawn = [grammar.draw(random)[0] for _ in range(4000)]
    assert np.mean([len(text.split()) for text in drawn]) == pytest.approx(grammar.length, abs=0.15)
    assert max(len(text.split()) for text in drawn) == grammar.longest
    every = [-math.log(_probability(grammar, text)) for text in drawn[:400]]
    assert np.mean(every) == pytest.approx(grammar.entropy, abs=4 * np.std(every) / 400**0.5)


def _probability(grammar, text):
    """By the inside algorithm: of all derivations of the words together."""
    words = tuple(text.split())
    memory = {}

    def inside(symbols, start, end):
        if (symbols, start, end) in memory:
            return memory[symbols, start, end]
        if len(symbols) > 1:
            found = sum(
                inside(symbols[:1], start, cut) * inside(symbols[1:], cut, end)
                for cut in range(start + 1, end - len(symbols) + 2)
            )
        elif symbols[0] in grammar.rules:
            found = sum(p * inside(tuple(made.split()), start, end) for p, made in grammar.rules[symbols[0]])
        else:
            found = float(words[start:end] == symbols)
        memory[symbols, start, end] = found
        return found

    return inside((grammar.start,), 0, len(words))


def test_bytes_need_room_for_all():
    with pytest.raises(ConfigurationError, match="258"):
        BytePairs(count=100)
