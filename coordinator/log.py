"""One line of JSON per event.

Responsible for: the form of a log line: time, level, event, then the fields by name; bytes as hex.
Must not know:   what is worth logging.  Callers never pass a key or the inside of an update.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from protocol.errors import show

LOGGER = "veriflock.coordinator"


class JsonFormatter(logging.Formatter):
    """Renders a record that `log_event` made; a record of somebody else gets its message as event `other`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        head = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.msg if fields is not None else "other",
        }
        rest = fields if fields is not None else {"message": record.getMessage(), "logger": record.name}
        return json.dumps({**head, **{name: _plain(value) for name, value in rest.items()}}, ensure_ascii=True)


def log_event(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Writes one event with its fields."""
    logging.getLogger(LOGGER).log(level, event, extra={"fields": fields})


def configure(path: Path | None, *, level: int = logging.INFO) -> None:
    """Sends the events to standard error, or appends them to a file."""
    handler = logging.StreamHandler(sys.stderr) if path is None else logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(LOGGER)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return show(value)
