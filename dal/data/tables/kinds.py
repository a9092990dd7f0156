"""Which kind of table a file is: by its name and, where that leaves it open, by its content."""

from pathlib import Path

PARQUET = (".parquet", ".pq")
PARQUET_START = b"PAR1"
DELIMITED = (".csv", ".tsv", ".tab", ".txt")
JSON = (".json", ".jsonl", ".ndjson")


def is_parquet(path: Path, content: bytes) -> bool:
    """Whether a file is parquet."""
    return content.startswith(PARQUET_START) or path.suffix.lower() in PARQUET


def is_json(path: Path, text: str) -> bool:
    """Whether a file of text is JSON, and not a table with delimiters."""
    suffix = path.suffix.lower()
    starts_as_json = text.lstrip()[:1] in ("[", "{")
    return suffix not in DELIMITED and (starts_as_json or suffix in JSON)
