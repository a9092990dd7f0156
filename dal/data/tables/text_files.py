"""Text files as people's programs write them: read whole, and decoded without guessing."""

import codecs
from pathlib import Path

from dal.errors import ConfigError, DataError, did_you_mean
from dal.runtime import files

# How files begin that people take for tables of text.
KINDS = {
    b"PK\x03\x04": "a workbook or an archive (ZIP)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a compressed file (gzip)",
}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

SAVE_AS = "In Excel, save it as 'CSV UTF-8'; in LibreOffice, as CSV with the character set UTF-8"


def content(path: Path, what: str = "labels") -> bytes:
    """A file's bytes.

    Args:
        path: The file.
        what: What should be in it, for messages.

    Raises:
        ConfigError: If there is no such file.
        DataError: If it cannot be read, or is empty.
    """
    check_exists(path, what)
    try:
        read = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise DataError(
            f"Cannot read {_printable(path)} ({error.strerror or error}). Permit reading it, or "
            "copy it elsewhere."
        ) from error
    if read is None:
        raise DataError(f"Expected a file, got {_printable(path)}, which is something else.")
    if not read.strip():
        raise DataError(
            f"Expected {what} in {_printable(path)}, got an empty file. Was it saved, or copied "
            "whole?"
        )
    return read


def check_exists(path: Path, what: str = "labels") -> None:
    """Checks that there is a file or a folder.

    Args:
        path: Of it.
        what: What should be in it, for the message.

    Raises:
        ConfigError: If there is none; names one beside it that is called alike.
    """
    try:
        exists = path.exists()
    except OSError as error:
        raise DataError(f"Cannot read {_printable(path)} ({error.strerror or error}).") from error
    if exists:
        return
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        beside = []
    hint = did_you_mean(path.name, beside) if beside else ""
    hint = f" {hint}" if hint.startswith("Did you mean") else ""
    raise ConfigError(
        f"Expected a file or a folder with {what}, found no {_printable(path)}.{hint} Relative "
        f"paths start at {_printable(Path.cwd())}."
    )


def decode(read: bytes, path: Path, nul_share: float = 0.0) -> str:
    """The text of a file: UTF-8 with or without a mark at its start, or UTF-16 with one.

    Other encodings cannot be told apart from the bytes, so that none is assumed.

    Args:
        read: The file's bytes.
        path: The file, for messages.
        nul_share: The share of NUL characters above which it is taken for a binary file.

    Raises:
        DataError: If it is in another encoding, or no text at all.
    """
    for start, kind in KINDS.items():
        if read.startswith(start):
            raise DataError(
                f"Expected text in {_printable(path)} (CSV, TSV, JSON, JSONL), got {kind}. Unpack "
                f"an archive. {SAVE_AS}."
            )
    if read.startswith(UTF_16):
        try:
            text = read.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError(
                f"Expected UTF-16 in {_printable(path)}, as its first two bytes say, got something "
                f"else at byte {error.start:,}. Was it copied whole? {SAVE_AS}."
            ) from error
        _check_text(text.count("\0") <= nul_share * len(text), path)
        return text
    _check_text(read.count(b"\0") <= nul_share * len(read), path)
    try:
        return read.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(_other_encoding(read, error.start, path)) from error


def _check_text(is_text: bool, path: Path) -> None:
    if not is_text:
        raise DataError(
            f"Expected text in {_printable(path)} (CSV, TSV, JSON, JSONL), or a parquet file, got "
            f"a binary file. {SAVE_AS}."
        )


def _other_encoding(read: bytes, position: int, path: Path) -> str:
    line = read.count(b"\n", 0, position) + 1
    first = max(read.rfind(b"\n", 0, position) + 1, position - 20)
    context = read[first : position + 20].split(b"\n")[0].decode("cp1252", "replace").strip()
    return (
        f"Expected {_printable(path)} in UTF-8, got another encoding: line {line} is no UTF-8 (in "
        f"Windows-1252 it would have {context!r}). {SAVE_AS}; or, if that is its encoding, run: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8_{path.name}"
    )


def _printable(path: Path) -> str:
    return files.printable(str(path))
