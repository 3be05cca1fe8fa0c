"""Times of evidence: a date and a time of day to seconds since 1970, only where they exist.

Responsible for: the calendar, without a clock.
Must not know:   in which form a time was written.
"""

from __future__ import annotations

import calendar


def utc_s(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Seconds since 1970 of that moment in UTC.  Raises ValueError for a date or a time of day that does not exist."""
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise ValueError("no such date")
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no such time of a day")
    return calendar.timegm((year, month, day, hour, minute, second))
