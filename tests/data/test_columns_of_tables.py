"""Tables in files: what their columns are, what is missing, and what is refused with its place."""

import math

import pytest

from aelab.core.errors import DataError
from aelab.data.columns import Column, numbers_of, sheet, surveyed
from aelab.data.kinds import Table

TABLE = "age,job,pay\n31,clerk,1.5\n?,smith,\n44,clerk,2.5\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my.csv"
    path.write_text(TABLE)
    return path


def test_columns_are_numbers_whole_numbers_or_names_and_cells_may_be_missing(file):
    found = sheet(file)
    columns = surveyed(found)
    assert columns == [Column("age", whole=True), Column("job", ("clerk", "smith")), Column("pay")]
    rows = numbers_of(found, columns)
    assert rows[0] == [31, 0, 1.5]
    assert math.isnan(rows[1][0])
    assert math.isnan(rows[1][2])
    assert surveyed(found, categorical=["age"], drop=["pay"])[0] == Column("age", ("31", "44"))
    assert [Column("age", whole=True).cell(30.7), Column("pay").cell(math.nan)] == ["31", ""]


def test_a_parquet_file_is_the_same_table(tmp_path, file):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    table = {"age": [31, None, 44], "job": ["clerk", "smith", "clerk"], "pay": [1.5, None, 2.5]}
    write_table(pyarrow.table(table), tmp_path / "my.parquet")
    assert surveyed(sheet(tmp_path / "my.parquet")) == surveyed(sheet(file))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "line 1: columns need names of their own"),
        ("a,b\n1,2\n3\n", r"my.csv, line 3: 1 cells, and the first line names 2"),
        ("a,b\n1,\n2,?\n", r"column 'b' holds no value: leave it out, as data.source.drop=\[b\]"),
        (
            "a\n1\n2\nx\n3\n",
            r"my.csv, line 4: column 'a' holds 'x', and 3 others are numbers: .*categorical=\[a\]",
        ),
        ("a\n" + "\n".join(f"n{i}" for i in range(300)), "300 different names"),
        ("a\n${x}\ny\n", "none with"),
        ("a\ninf\n1\n2\n", "line 2: column 'a' holds 'inf'"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "my.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=sentence) as refusal:
        surveyed(sheet(path))
    assert len(str(refusal.value).splitlines()) == 1


def test_rows_elsewhere_are_of_the_same_columns(file, tmp_path):
    columns = surveyed(sheet(file))
    kind = Table([column.facts() for column in columns])
    rows = kind.parse([{"age": 31, "job": "smith"}, {"pay": 2}], (3,))
    assert rows.isnan().tolist() == [[False, False, True], [True, True, False]]
    kind.write(tmp_path, [rows], [])
    assert (tmp_path / "rows.csv").read_text().splitlines() == ["age,job,pay", "31,smith,", ",,2"]
    _, blocks = kind.read(str(tmp_path / "rows.csv"), (3,))
    assert next(blocks).nan_to_num().tolist() == rows.nan_to_num().tolist()
    (tmp_path / "other.csv").write_text("age,job,pay\n1,pope,3\n")
    with pytest.raises(DataError, match=r"other.csv, line 2: column 'job': 'pope' is none of clerk, smith"):
        kind.read(str(tmp_path / "other.csv"), (3,))
    (tmp_path / "other.csv").write_text("age,job\n1,clerk\n")
    with pytest.raises(DataError, match="no column 'pay'"):
        kind.read(str(tmp_path / "other.csv"), (3,))
