"""What became of each item, as a table for programs: report.parquet and report.json."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from attnscope.errors import check_extra
from attnscope.jobs.job import Row
from attnscope.jobs.places import joined, write


def plain_row(row: Row) -> dict[str, Any]:
    """A row as plain values: name, address, status, error, message, seconds, and the job's facts.

    Args:
        row: The row.
    """
    error = row.error
    return {
        "name": row.item.name,
        "address": row.item.address,
        "status": row.status,
        "error": error.type if error else None,
        "message": error.message if error else None,
        "seconds": round(row.seconds, 4),
        **row.facts,
    }


def write_report(rows: Sequence[Row], folder: str) -> list[str]:
    """Write report.json and report.parquet, sorted by name; reports of an earlier start are replaced.

    Args:
        rows: What became of the items.
        folder: A folder, or an fsspec address.

    Returns:
        What was written.

    Raises:
        MissingExtraError: pyarrow is not installed.
        OutputError: They can't be written.
    """
    check_extra("a report of many pictures", "folders")
    table = [plain_row(row) for row in sorted(rows, key=lambda row: row.item.name)]
    counts = Counter(row.status for row in rows)
    whole = {"counts": {status: counts[status] for status in ("done", "skipped", "failed")}, "rows": table}
    files = {"report.parquet": _parquet(table), "report.json": (json.dumps(whole, indent=1) + "\n").encode()}
    for name, contents in files.items():
        write(joined(folder, name), contents)
    return [joined(folder, name) for name in files]


def _parquet(table: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    columns = list(dict.fromkeys(name for row in table for name in row))
    texts = {"name", "address", "status", "error", "message"}
    arrays = {
        name: pa.array([row.get(name) for row in table], pa.string() if name in texts else None)
        for name in columns
    }
    contents = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(arrays), contents)
    return contents.getvalue()
