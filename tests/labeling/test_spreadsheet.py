import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dal.labeling import spreadsheet
from dal.labeling.picks import Pick


def rows(table: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))


def test_table_of_files() -> None:
    picks = [
        Pick(1, "ä.jpg", path="birds/ä.jpg", thumbnail=b"\xff", predicted="owl"),
        Pick(2, 'a,"b".jpg', path="c.jpg", thumbnail=b"\xff", confidence=0.5, score=1 / 3),
        Pick(3, "d.jpg", thumbnail=b"\xff", score=float("nan")),
    ]
    assert spreadsheet.to_label(picks) == (
        b"\xef\xbb\xbfrank,id,path,predicted,confidence,score,label\r\n"
        b"1,\xc3\xa4.jpg,birds/\xc3\xa4.jpg,owl,,,\r\n"
        b'2,"a,""b"".jpg",c.jpg,,0.5000,0.333333,\r\n'
        b"3,d.jpg,,,,,\r\n"
    )


def test_table_of_texts_and_of_ids() -> None:
    table = spreadsheet.to_label([Pick(1, "0", text="One,\ntwo.", predicted="-x")])
    assert table == (
        b'\xef\xbb\xbfrank,id,text,predicted,confidence,score,label\r\n1,0,"One,\ntwo.",\'-x,,,\r\n'
    )
    assert spreadsheet.to_label([Pick(1, "7")]) == (
        b"\xef\xbb\xbfrank,id,predicted,confidence,score,label\r\n1,7,,,,\r\n"
    )


def test_long_texts_fit_into_a_cell_of_excel() -> None:
    [row] = rows(spreadsheet.to_label([Pick(1, "0", text="x" * 40_000)]))
    assert row["text"] == "x" * 32_000 + " …"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-a", "@a", "\ta", "\ra", "'a", "0012", "1.50"])
@pytest.mark.parametrize("column", ["id", "path", "text", "predicted"])
def test_no_cell_is_run_or_changed(text: str, column: str) -> None:
    values: dict[str, Any] = {"id": "0", column: text}
    [row] = rows(spreadsheet.to_label([Pick(1, **values)]))
    assert row[column] == f"'{text}"


@pytest.mark.parametrize(
    "text", ["3-4", "1/2", "1e5", "2E+3", "12:30", "5%", "01", "00", "1234567890123456", " 7"]
)
def test_what_would_become_another_number_is_marked(text: str) -> None:
    assert spreadsheet.mark(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "0", "17", "123456789012345", "a.jpg", "0012.jpg", "1e5x"])
def test_plain_cells_are_left_alone(text: str) -> None:
    assert spreadsheet.mark(text) == text


@given(st.text())
def test_ids_come_back(text: str) -> None:
    assert spreadsheet.unmark(spreadsheet.mark(text)) == text
    [row] = rows(spreadsheet.to_label([Pick(1, text.replace("\0", ""))]))
    assert spreadsheet.unmark(row["id"]) == text.replace("\0", "")
