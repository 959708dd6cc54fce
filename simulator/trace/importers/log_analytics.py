"""What an Azure Log Analytics query or a storage export looks like: tables of rows, or records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How the portal writes times into CSV.
PORTAL_TIME: Final = "%m/%d/%Y, %I:%M:%S.%f %p"


def unpack_azure(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
    """Rows of the answer to a query (`tables` with `columns` and `rows`), records of an export, or a record."""
    if isinstance(value, dict) and isinstance(value.get("tables"), list):
        for table in value["tables"]:
            names = [column["name"] for column in table["columns"]]
            yield from (dict(zip(names, row, strict=False)) for row in table["rows"])
    elif isinstance(value, dict) and isinstance(value.get("records"), list):
        yield from value["records"]
    else:
        yield from value if isinstance(value, list) else [value]
