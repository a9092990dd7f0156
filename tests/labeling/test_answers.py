"""Tables of labels, as people's programs write them."""

import csv
import io
import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from dal.errors import ConfigError, DalError, DataError
from dal.labeling.answers import Answer, read_answers
from dal.labeling.class_names import BLANK

LAST = '"id": "c", "label"'
PLAIN = [("a.jpg", "cat"), ("b.jpg", "dog"), ("c.jpg", None)]


def write(folder: Path, content: str | bytes, name: str = "to_label.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def pairs(file: Path, **options: str) -> list[tuple[str, str | None]]:
    return [(answer.id, answer.label) for answer in read_answers(file, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        "id,label\na.jpg,cat\nb.jpg,dog\nc.jpg,\n",
        "id,label\r\na.jpg,cat\r\nb.jpg,dog\r\nc.jpg,\r\n",
        "id,label\ra.jpg,cat\rb.jpg,dog\rc.jpg,",  # Excel on an old Mac
        "\ufeffid;label\r\na.jpg;cat\r\nb.jpg;dog\r\nc.jpg;\r\n",  # Excel in Germany, CSV UTF-8
        "sep=;\r\nid;label\r\na.jpg;cat\r\nb.jpg;dog\r\nc.jpg;\r\n",
        "id\tlabel\na.jpg\tcat\nb.jpg\tdog\nc.jpg\t\n",
        ",id,label\n0,a.jpg,cat\n1,b.jpg,dog\n2,c.jpg,\n",  # pandas with its index
        '"id","label"\n"a.jpg","cat"\n"b.jpg","dog"\n"c.jpg",""\n',
        '"id";"label"\n"a.jpg";"cat"\n"b.jpg";"dog"\n"c.jpg";""\n',
        "rank,ID, Label ,note\n1,a.jpg, cat ,\n2,b.jpg,dog\xa0,x\n3,c.jpg,,\n",
        "\n\nid,label,,\na.jpg,cat,,\n,,,\nb.jpg,dog,,\nc.jpg,,,\n,,,\n",  # empty cells at the ends
        'text,id,label\n"one,\ntwo; ""x""",a.jpg,cat\n,b.jpg,dog\n;;;;,c.jpg,\n',
    ],
)
def test_tables_of_many_programs(content: str, tmp_path: Path) -> None:
    assert pairs(write(tmp_path, content)) == PLAIN


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    text = "id\tlabel\r\nä.jpg\tGrünfink\r\n鳥.jpg\t猫\r\n"
    expected = [("ä.jpg", "Grünfink"), ("鳥.jpg", "猫")]
    assert pairs(write(tmp_path, text.encode(encoding), "labels.txt")) == expected


def test_another_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = write(tmp_path, "id;label\r\na.jpg;Grünfink\r\n".encode("cp1252"))
    with pytest.raises(DataError, match="line 2 is no UTF-8 .*'a.jpg;Grünfink'.*CSV UTF-8.*iconv"):
        read_answers(file)


def test_places_are_the_lines_at_which_rows_start(tmp_path: Path) -> None:
    content = 'sep=,\nid,label,text\n\na,x,"one\ntwo\r\nthree"\n\nb,y,\n'
    places = [answer.where for answer in read_answers(write(tmp_path, content))]
    assert places == ["to_label.csv, line 4", "to_label.csv, line 8"]


def test_labels_in_text_stay_as_they_are_written(tmp_path: Path) -> None:
    labels = ["01", "1", "1.0", "true", "NA", "null", "1e5", "cafe\u0301"]
    content = "id,label\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels))
    assert [label for _, label in pairs(write(tmp_path, content))] == [*labels[:-1], "caf\u00e9"]


def test_columns_by_other_names_and_who_labeled(tmp_path: Path) -> None:
    file = write(tmp_path, "file,species,who\na.jpg,cat,anna\na.jpg,cat,\n")
    read = read_answers(file, id_column="file", label_column="species", annotator_column="who")
    assert [answer.annotator for answer in read] == ["anna", None]
    assert read[0] == Answer("a.jpg", "cat", "anna", "to_label.csv, line 2")


def test_a_cell_longer_than_the_limit_of_the_reader(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert pairs(write(tmp_path, f"id,text,label\na,{'x' * 200_000},cat\n")) == [("a", "cat")]
    assert csv.field_size_limit() == before


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: re.fullmatch(rf"(?!{BLANK}).*(?<!{BLANK})", text) and len(text.splitlines()) == 1
)


@given(
    rows=st.lists(st.tuples(CELLS, st.text(alphabet="ab,;\t\"'|\n é"), CELLS), min_size=1),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_csv_writes_is_read_back(
    rows: list[tuple[str, str, str]],
    delimiter: str,
    ending: str,
    encoding: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=ending)
    writer.writerows([("id", "text", "label"), *rows])
    file = write(tmp_path_factory.mktemp("csv"), stream.getvalue().encode(encoding), "labels.csv")
    expected = [(item, unicodedata.normalize("NFC", label)) for item, _, label in rows]
    assert pairs(file) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.jsonl", '{"id": "a", "label": "x"}\n\n{"id": 2, "label": 1}\n{LAST: null}'),
        ("labels.json", '{"id": "a", "label": "x"}\n{"id": 2, "label": 1.0}\n{LAST: NaN}\n'),
        ("labels.json", '[{"id": "a", "label": "x"}, {"id": 2.0, "label": 1}, {LAST: ""}]'),
        ("labels", '\n[{"id": "a", "label": " x "}, {"id": "2", "label": "1"}, {LAST: null}]'),
    ],
)
def test_records(name: str, content: str, tmp_path: Path) -> None:
    file = write(tmp_path, content.replace("LAST", LAST), name)
    assert pairs(file) == [("a", "x"), ("2", "1"), ("c", None)]


def test_nested_records(tmp_path: Path) -> None:
    lines = [
        '{"meta": {"file": "a\u2028"}, "y": {"class": true}}',
        '{"meta": {"file": "b"}, "y": {"class": false}}',
    ]
    file = write(tmp_path, "\n".join(lines), "labels.jsonl")
    found = pairs(file, id_column="meta.file", label_column="y.class")
    assert found == [("a\u2028", "true"), ("b", "false")]
    with pytest.raises(
        DataError, match=r"'y.clas'.*'meta.file', 'y.class'. Did you mean 'y.class'"
    ):
        read_answers(file, id_column="meta.file", label_column="y.clas")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["01", None, " b"], ["01", None, "b"]),
        ([3, None, 1], ["3", None, "1"]),
        (pa.array([3.0, float("nan"), 1.0]), ["3", None, "1"]),
        (pa.array(["x", "y", None]).dictionary_encode(), ["x", "y", None]),
    ],
)
def test_parquet(labels: object, expected: list[str | None], tmp_path: Path) -> None:
    file = tmp_path / "labels.bin"  # recognised by its content
    parquet.write_table(pa.table({"id": [7, 8, 9], "label": labels, "other": [[1], [], []]}), file)
    assert pairs(file) == list(zip(["7", "8", "9"], expected, strict=True))
    assert read_answers(file)[1].where == "labels.bin, row 1"


def test_parquet_that_has_no_labels(tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    parquet.write_table(pa.table({"id": ["a"], "label": [["x", "y"]]}), file)
    with pytest.raises(DataError, match="column 'label' of labels.parquet, got list<"):
        read_answers(file)
    with pytest.raises(DataError, match="column 'lable' in labels.parquet.*mean 'label'"):
        read_answers(file, label_column="lable")
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match="whole parquet file"):
        read_answers(file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "got an empty file"),
        ("a.csv", " \n\n", "got an empty file"),
        ("a.csv", "id,label\n", "got none: it has no row"),
        ("a.json", "[]", "got none"),
        ("a.csv", "id,label\na,\nb,\n", "2 rows whose label is empty. Was the file saved"),
        ("a.jsonl", '{"id": "a", "label": null}', "1 rows whose label is empty"),
        ("a.csv", "id,label\na, \n", "a.csv, line 2, got only white space"),
        ("a.csv", "id,label\na,\u200b\n", "only white space"),
        (
            "a.csv",
            "id,lable\na,x\n",
            "column 'label' in a.csv.*'id', 'lable'. Did you mean 'lable'",
        ),
        ("a.csv", "file;label\na;x\n", "column 'id'.*'file', 'label'.*id_column=NAME"),
        ("a.csv", "a.jpg,cat\nb.jpg,dog\n", "'a.jpg', 'cat'.*the first line has the names"),
        ("a.csv", "id,label,label\na,x,y\n", "one column 'label' in a.csv, got 2"),
        ("a.csv", "id,label\na,black, white\n", "2 cells in a.csv, line 2, .*got 3"),
        ("a.csv", "id,label\na,x\nb\n", "2 cells in a.csv, line 3, .*got 1"),
        ("a.csv", "id,label\n,x\n", "an id in a.csv, line 2, got none"),
        ("a.csv", 'id,label\na,"x\nb,y\nc,z\n', "starts at a.csv, line 2 .*quotation mark"),
        ("a.csv", 'id,label\na,"x" y\nb,z\n', "starts at a.csv, line 2 .*quotation mark"),
        ("a.csv", 'id,label\na,"x\ny"\n', "several lines, the first 'x'.*quotation mark"),
        ("a.csv", 'id,label\na, "x"\n', "a space before the quotation mark"),
        ("a.json", '[{"id": "a", "label": "x"}, {"id": "b", "la', "only the beginning of it"),
        ("a.json", '[{"id": "a", "label": "x"},', "only the beginning of it"),
        ("a.jsonl", '{"id": "a", "label": "x"}\n{"id": "b"', "a.jsonl, line 2, got only the begin"),
        (
            "a.json",
            '[{"id": "a" "label": "x"}]',
            r"a.json, line 1, got something else at char.* 13",
        ),
        ("a.json", "[" * 100_000, "nested too deep"),
        ("a.json", '["a", "b"]', "an object with an id and a label in a.json, record 1, got str a"),
        ("a.json", '[{"id": "a", "label": ["x", "y"]}]', "one text or number, got list"),
        ("a.json", '[{"id": "a", "label": 0.5}]', "record 1, got the fraction 0.5"),
        ("a.jsonl", '{"id": "a", "label": "x"}\n{"id": "b"}', "'label' in a.jsonl, line 2"),
        ("a.jsonl", '{"id": null, "label": "x"}', "an id in a.jsonl, got none"),
        ("a.csv", b"PK\x03\x04\0\0", "a workbook or an archive.*CSV UTF-8"),
        ("a.pkl", b"\x80\x04\x95\0\0.", "a binary file"),
        ("a.csv", b"\xff\xfei\0d\0,", "UTF-16 in .* something else at byte"),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", "a binary file"),
    ],
)
def test_bad_files(name: str, content: str | bytes, message: str, tmp_path: Path) -> None:
    file = write(tmp_path, content, name)
    with pytest.raises(DataError, match=message) as raised:
        read_answers(file)
    assert name in str(raised.value)


def test_no_such_file(tmp_path: Path) -> None:
    write(tmp_path, "id,label\n")
    with pytest.raises(ConfigError, match=r"found no .*to_lable.csv. Did you mean 'to_label.csv'"):
        read_answers(tmp_path / "to_lable.csv")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "id,label\n")

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"Cannot read .*to_label.csv \(Permission denied\)"):
        read_answers(file)


@given(
    content=st.binary(max_size=300),
    suffix=st.sampled_from(["csv", "json", "jsonl", "tsv", "parquet", "x"]),
)
def test_any_bytes_are_labels_or_one_message(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = write(tmp_path_factory.mktemp("bytes"), content, f"a.{suffix}")
    with pytest.raises(DalError):
        read_answers(file)


@given(data=st.data())
def test_any_part_of_an_export_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = (Path(__file__).parent / "exports" / "json.json").read_bytes()
    length = data.draw(st.integers(0, len(whole.rstrip()) - 1))
    file = write(tmp_path_factory.mktemp("part"), whole[:length], "export.json")
    with pytest.raises(DataError):
        read_answers(file)


def test_reading_loads_no_torch() -> None:
    code = (
        "import sys; import dal.labeling.answers, dal.labeling.agreement; "
        "print([m for m in ('torch', 'lightning', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
