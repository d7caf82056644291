"""Records of .jsonl and .parquet files, and one line for what is no record."""

import pytest

from panorax.core.errors import UserError
from panorax.data.record_files import read_records


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": 1}\nno json\n', "x.jsonl, line 2: no JSON object: Expecting value"),
        ("[1, 2]\n", "x.jsonl, line 1: expected a JSON object, got list"),
        ('\n\n{"a": "\\ud800"}', "x.jsonl, line 3: no JSON object: 'utf-8' codec can't encode"),
        ("", "x.jsonl holds no records"),
        (" \n\n", "x.jsonl holds no records"),
        (b"\xff\xfe", "x.jsonl is not UTF-8 text"),
    ],
)
def test_a_file_without_objects_is_named_with_its_line(tmp_path, text, message):
    file = tmp_path / "x.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as raised:
        read_records(str(file))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_path_must_exist_and_be_of_a_format_that_is_read(tmp_path):
    (tmp_path / "x.csv").write_text("a,b")
    for path, message in ((tmp_path / "no", "does not exist"), (tmp_path / "x.csv", ".jsonl")):
        with pytest.raises(UserError, match=message):
            read_records(str(path))


def test_a_folder_is_read_in_the_order_of_names_and_lines_are_those_of_json(tmp_path):
    (tmp_path / "b.jsonl").write_text('{"n": 2}')
    (tmp_path / "a.jsonl").write_text('\ufeff{"n": "x\u2028y"}\n\n{"n": 1}\n')
    (tmp_path / "notes.txt").write_text("not read")
    records = read_records(str(tmp_path))
    assert [r.value["n"] for r in records] == ["x\u2028y", 1, 2]
    assert records[1].where == f"{tmp_path / 'a.jsonl'}, line 3"


def test_rows_of_parquet_are_records_without_their_nulls(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"messages": [{"role": "user", "content": "a"}]}, {"prompt": "p", "completion": "c"}]
    file = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows, _schema(pyarrow)), file)
    records = read_records(str(file))
    assert [r.value for r in records] == rows and records[1].where == f"{file}, row 2"
    file.write_bytes(b"PAR1 damaged")
    with pytest.raises(UserError, match="is no Parquet file"):
        read_records(str(file))


def _schema(pyarrow):
    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    texts = [(name, pyarrow.string()) for name in ("prompt", "completion")]
    return pyarrow.schema([("messages", pyarrow.list_(message)), *texts])
