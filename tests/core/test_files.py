import errno
import json
import math

import pytest

from panorax.core import files
from panorax.core.errors import UserError


def test_a_file_is_replaced_atomically(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    files.replace(path, "new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_system_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            UserError, match=f"cannot write {tmp_path / 'file' / 'below'}: Not a directory"
        ),
        files.writing(tmp_path),
    ):
        (tmp_path / "file" / "below").mkdir()


def test_a_missing_file_counts_where_it_is_written(tmp_path):
    gone = tmp_path / "a" / "gone"
    for missing in (gone / "result.json", gone, tmp_path / "a"):
        with (
            pytest.raises(UserError, match=f"cannot write {missing}: No such file"),
            files.writing(gone),
        ):
            open(missing)
    with pytest.raises(FileNotFoundError), files.writing(gone):
        open(tmp_path / "data.csv")  # a file of the user


def test_other_errors_are_not_changed(tmp_path):
    with pytest.raises(OSError) as error, files.writing(tmp_path):
        raise OSError(errno.EPERM, "no")
    assert error.value.errno == errno.EPERM


def test_json_has_no_nan():
    value = {"a": [1.5, math.nan, (math.inf, 2)], "b": {"c": -math.inf, "d": "nan", "e": None}}
    back = {"a": [1.5, None, [None, 2]], "b": {"c": None, "d": "nan", "e": None}}
    assert json.loads(files.as_json(value)) == back
