"""Tables of users, in CSV, TSV, JSON, JSONL and parquet: read as they are, with places."""
