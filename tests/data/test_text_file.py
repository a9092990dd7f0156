"""Texts in files: what is read, what is converted, and what is refused with one message."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from dal.data import Embedded, TextFile
from dal.errors import ConfigError, DataError
from dal.extraction.items import ItemSplit, MissingSplitError
from tests.letters import letter_extractor

ALL = {"train": "train", "test": None}


def opened(file: Path, content: str | bytes, **kwargs: Any) -> ItemSplit:
    """The split in a file with this content, without labels unless a column is named."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return TextFile(file, **{"splits": ALL, "label_column": None, **kwargs}).open("train")


def write_parquet(file: Path, **columns: Any) -> None:
    parquet.write_table(pyarrow.table(columns), file)


ROWS = [("a cat", "x", "01"), ("eels, two", "y", "b"), ('a "dog"', "x", "c")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label,id\na cat,x,01\n"eels, two",y,b\n"a ""dog""",x,c\n'),
        ("a.tsv", 'id\ttext\tlabel\n01\ta cat\tx\nb\teels, two\ty\nc\t"a ""dog"""\tx\n'),
        ("a.csv", '\ufeffid;Text ;LABEL\r\n01;a cat; x\r\nb;eels, two;y\r\nc;"a ""dog""";x\r\n'),
        (
            "a.jsonl",
            (
                '{"text": "a cat", "label": "x", "id": "01"}\n\n'
                '{"id": "b", "label": "y", "text": "eels, two"}\n'
                '{"text": "a \\"dog\\"", "label": "x", "id": "c"}\n'
            ),
        ),
        (
            "a.json",
            (
                '[{"text": "a cat", "label": "x", "id": "01"},'
                ' {"text": "eels, two", "label": "y", "id": "b"},'
                ' {"text": "a \\"dog\\"", "label": "x", "id": "c"}]'
            ),
        ),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_files_in_text(name: str, content: str, is_packed: bool, tmp_path: Path) -> None:
    file = tmp_path / (f"{name}.gz" if is_packed else name)
    encoded = gzip.compress(content.encode()) if is_packed else content
    split = opened(file, encoded, label_column="label", id_column="id")
    assert split.items[:] == [text for text, _, _ in ROWS]
    assert split.items[1] == "eels, two"
    assert (split.noun, split.class_names) == ("text", ["x", "y"])
    assert split.labels is not None
    assert split.labels.tolist() == [0, 1, 0]
    assert split.ids == [name for _, _, name in ROWS]
    assert split.summary == "3 texts of 2 classes (x, y)"
    assert pickle.loads(pickle.dumps(split.items))[2] == 'a "dog"'


def test_parquet(tmp_path: Path) -> None:
    texts, labels, names = zip(*ROWS, strict=True)
    coded = pyarrow.array(labels).dictionary_encode()
    write_parquet(tmp_path / "a.parquet", text=texts, label=coded, id=names)
    items = TextFile(tmp_path / "a.parquet", id_column="id", splits=ALL)
    split = items.open("train")
    assert split.items[:] == list(texts)
    assert split.labels is not None
    assert (split.labels.tolist(), split.ids) == ([0, 1, 0], list(names))
    assert split.name(1) == "text b"


@pytest.mark.parametrize(
    ("cells", "class_names"),
    [
        (["2", "10", "1"], ["1", "2", "10"]),
        ([" 2", "10 ", "2"], ["2", "10"]),
        (["02", "10", "1"], ["02", "1", "10"]),
        (["b", "10", "a"], ["10", "a", "b"]),
        (["99999999999999999999", "1", "1"], ["1", "99999999999999999999"]),
        (["caf\u00e9", "cafe\u0301", "a"], ["a", "caf\u00e9"]),
    ],
)
def test_labels_of_text_are_integers_if_all_are(
    cells: list[str], class_names: list[str], tmp_path: Path
) -> None:
    lines = [f"t,{cell}\n" for cell in cells]
    split = opened(tmp_path / "a.csv", "".join(["text,label\n", *lines]), label_column="label")
    assert split.class_names == class_names


def test_test_is_numbered_by_trains_classes(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,kind\na,2\nb,10\nc,3\n")
    (tmp_path / "test.jsonl").write_text('{"text": "d", "kind": "10"}\n{"text": "e", "kind": 2}\n')
    (tmp_path / "valid.csv").write_text("text,kind\nf,10\n")
    items = TextFile(tmp_path, label_column="kind")
    test = items.open("test")
    assert test.labels is not None
    assert (test.class_names, test.labels.tolist()) == (["2", "3", "10"], [2, 0])
    assert items.passed_over() == "1 file passed over: valid.csv"
    both = TextFile(tmp_path, label_column="kind", splits={"train": "train+valid"})
    joined = both.open("train+valid")
    assert joined.items[:] == ["a", "b", "c", "f"]
    assert joined.labels is not None
    assert joined.labels.tolist() == [0, 2, 1, 2]
    assert (
        joined.name(3) == f"text in row 3 of {tmp_path / 'train.csv'} and {tmp_path / 'valid.csv'}"
    )
    (tmp_path / "test.jsonl").write_text('{"text": "d", "kind": "11"}\n')
    with pytest.raises(DataError, match=r"classes of train in .*test.jsonl, got 1 .*'11' \(1\)"):
        TextFile(tmp_path, label_column="kind").open("test")


def test_what_is_no_clean_text_but_can_be_used(tmp_path: Path) -> None:
    long, csv = "word " * 210_000, tmp_path / "a.csv"
    assert opened(csv, f'text\n"{long}"\n').items[0] == long
    strange = "שלום 👩\u200d👩\u200d👧 e\u0301\u2028\u00a0\x01"
    assert opened(csv, f"text\n{strange}\n").items[0] == strange
    assert opened(csv, 'text\r\n"two\r\nlines"\r\n').items[0] == "two\r\nlines"
    assert opened(csv, "text\tid\nä,b\t1\n".encode("utf-16")).items[0] == "ä,b"
    split = opened(csv, b"text\nsome\0thing without an end\0\0\n\0\nother\n")
    assert split.items[:] == ["something without an end", "", "other"]
    assert split.summary.endswith("without labels; 2 texts had NUL characters, which are left out")
    jsonl = tmp_path / "a.jsonl"
    half = opened(jsonl, '{"text": "a \\ud83d", "id": "\\ud83d\\ude00"}\n', id_column="id")
    assert (half.items[0], half.ids) == ("a \N{REPLACEMENT CHARACTER}", ["😀"])
    assert "1 value had a half of a character" in half.summary
    mixed = opened(jsonl, '{"text": "a"}\n{"text": 12}\n{"text": 1.5}\n{"text": null}\n{"a": 1}\n')
    assert mixed.items[:] == ["a", "12", "1.5", "", ""]
    nested = opened(jsonl, '{"data": {"text": "a"}}\n', text_column="data.text")
    assert nested.items[:] == ["a"]


LABELS = {"label_column": "label"}


@pytest.mark.parametrize(
    ("content", "kwargs", "message"),
    [
        (
            "txt,a\nb,c\n",
            {},
            r"column 'text' in a\.csv, got the columns 'txt', 'a'\. Did you .*'txt'",
        ),
        ("txt\nb\n", {}, r"Name the column with data\.text_column=NAME"),
        (
            "text,class\nb,c\n",
            LABELS,
            r"column 'label' .*Without labels, add data\.label_column=null",
        ),
        ("text,txet\nb,c\n", {"id_column": "id"}, r"column 'id' .*data\.id_column=NAME"),
        ("text,Text,TEXT \na,b,c\n", {"text_column": "teXt"}, "one column 'teXt' .*got 3"),
        ("text,label\nb,\nc,d\n", LABELS, r"got none in 1 rows, the first in row 0 \(line 2\)"),
        ('text,label\n"b\nc",d\ne, \n', LABELS, r"the first in row 1 \(line 4\)"),
        ("text,id\nb,1\n\nc,\n", {"id_column": "id"}, r"empty cell in 1 of 2.*row 1 \(line 4\)"),
        ("text,id\nb,1\nc,1\n", {"id_column": "id"}, r"got 1 in several rows: '1' \(2 rows\)"),
        ('text,label\n"b,1\nc,2\n', {}, r"row that starts at a\.csv, line 2 \(unexpected end"),
        ("text,label\nb,1\nc,d,2\n", {}, r"2 cells in a\.csv, line 3, .*got 3"),
        ("text\nb\nGrüße\n".encode("latin-1"), {}, r"in UTF-8.* line 3 is no UTF-8 .*'Grüße'"),
        ("text\nb c d e\n".encode("utf-16-le"), {}, "got a binary file"),
        (b"PK\x03\x04", {}, "got a workbook or an archive"),
        (gzip.compress(b"text\nb\n")[:15], {}, "compressed with gzip, .*cannot be unpacked"),
        (b"", {}, "Expected texts in .*a.csv, got an empty file"),
    ],
)
def test_tables_that_are_not_as_expected(
    content: str | bytes, kwargs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        opened(tmp_path / "a.csv", content, **kwargs)


@pytest.mark.parametrize(
    ("content", "kwargs", "message"),
    [
        (
            '{"text": 1}\n{"text": 2.5}\n',
            {},
            r"texts in the column 'text' of a\.jsonl.*int 1 for ex",
        ),
        (
            '{"text": "a"}\n\n{"text": ["b"]}\n',
            {},
            r"'text', row 1 \(line 3\) of a\.jsonl.*\['b'\]",
        ),
        ('{"text": "a"}\n{"text": true}\n', {}, r"row 1 \(line 2\) of a\.jsonl, got bool True"),
        ('[{"text": "a", "label": [1]}]', LABELS, r"'label', row 0 of a\.jsonl, got list \[1\]"),
        ('{"text": "a"}\n{"text": "b", "label": 1}', LABELS, r"none in 1 rows.*row 0 \(line 1\)"),
        ('{"text": "a", "label": NaN}\n', LABELS, r"got none in 1 rows, the first in row 0\."),
        ('{"text": "a", "label": 1.5}\n', LABELS, "numbers that are not integers"),
        ('{"text": "a", "id": true}\n', {"id_column": "id"}, "strings or integers, got .*bool"),
        ('{"text": "a"}\n{"text"', {}, r"a\.jsonl, line 2, got only the beginning"),
        ('{"text": "a"}\n["b"]\n', {}, r"object with a text in a\.jsonl, line 2, got list"),
        ('{"x": {"y": "a"}}\n{"z": 1}\n', {}, r"column 'text' in a\.jsonl, got the columns 'x\.y'"),
    ],
)
def test_records_that_are_not_as_expected(
    content: str, kwargs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        opened(tmp_path / "a.jsonl", content, **kwargs)


def undecodable() -> Any:
    buffers = pyarrow.array(["ab", "cd"]).buffers()
    return pyarrow.StringArray.from_buffers(2, buffers[1], pyarrow.py_buffer(b"ab\xff\xfe"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (lambda: {"text": [1, 2], "other": ["a", "b"]}, "texts in the column 'text' .*got none"),
        (lambda: {"text": [b"a", b"b"]}, r"column 'text' of a\.parquet, got binary"),
        (lambda: {"text": undecodable()}, "UTF-8 in the column 'text' of a.parquet.* in row 1"),
        (lambda: {"txet": ["a"]}, r"column 'text' in a\.parquet.*Did you mean 'txet'"),
    ],
)
def test_parquet_that_is_not_as_expected(
    columns: Callable[[], dict[str, Any]], message: str, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "a.parquet", **columns())
    with pytest.raises(DataError, match=message):
        TextFile(tmp_path / "a.parquet", label_column=None).open("train")


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected a whole parquet file"):
        opened(tmp_path / "a.parquet", b"PAR1")


def test_where_the_files_of_the_splits_are(tmp_path: Path) -> None:
    for name in ("train.csv", "train.jsonl", "a.TSV", "notes.md", ".train.csv"):
        (tmp_path / name).write_text("text\na\n")
    with pytest.raises(DataError, match=r"one file 'train' in .*found train\.csv, train\.jsonl"):
        TextFile(tmp_path, label_column=None).open("train")
    named = TextFile(tmp_path, label_column=None, splits={"train": "train.csv", "test": "a"})
    assert (len(named.open("train.csv")), len(named.open("a"))) == (1, 1)
    with pytest.raises(
        MissingSplitError, match=r"a file 'test' .*found a\.TSV, notes\.md.*Name the"
    ):
        TextFile(tmp_path, label_column=None).open("test")
    with pytest.raises(MissingSplitError, match=r"got the file .*add data\.splits\.test=null"):
        TextFile(tmp_path / "a.TSV").open("test")
    with pytest.raises(ConfigError, match=r"found no .*trian\.csv\. Did you .*'train\.csv'"):
        TextFile(tmp_path / "trian.csv").open("train")
    with pytest.raises(ConfigError, match=r"`data\.path`, got an empty value"):
        TextFile("")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "train-00000-of-00001.parquet").touch()
    with pytest.raises(MissingSplitError, match="are read with data=text_dataset"):
        TextFile(tmp_path / "hub").open("train")
    with pytest.raises(DataError, match="Expected texts in .*a.TSV, found none"):
        (tmp_path / "a.TSV").write_text("text\n")
        items = TextFile(tmp_path / "a.TSV", label_column=None, splits=ALL)
        Embedded(items, letter_extractor(tmp_path / "cache")).load()


def test_empty_texts_are_named_or_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('text,id\n"a\nb",1\n" \t",2\nc,3\n"",4\n')
    items = TextFile(file, label_column=None, splits=ALL)
    with pytest.raises(DataError, match=r"read 2 of the 4 texts .*row 1 \(line 4\) of .*a\.csv"):
        Embedded(items, letter_extractor(tmp_path / "cache")).load()
    left = letter_extractor(tmp_path / "cache", skip_broken=True)
    assert Embedded(items, left).load()[0].ids == ["0", "2"]
    with_ids = TextFile(file, label_column=None, splits=ALL, id_column="id")
    assert Embedded(with_ids, left).load()[0].ids == ["1", "3"]
