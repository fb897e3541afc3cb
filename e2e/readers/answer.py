"""What every reader is asked, and the shape of the answer."""

import json
import os

COLUMNS = [
    "rows", "user_id", "quantity", "cents", "ts_ms", "mobile", "url_chars", "event_id", "session", "offsets",
]


def env(name, default=""):
    return os.environ.get("FIRTH_" + name, default)


def query(table, hexdigits, millis):
    """The question in SQL; hexdigits and millis are the engine's ways to write the two conversions."""
    return f"""
        select _kafka_partition as p, count(*), sum(user_id), sum(cast(quantity as bigint)),
               sum(cast(round(amount * 100) as bigint)), sum({millis('ts')}),
               sum(case when is_mobile then 1 else 0 end), sum(cast(length(url) as bigint)),
               sum({hexdigits('event_id')}), sum({hexdigits('session')}), sum(_kafka_offset)
        from {table} group by _kafka_partition"""


def say(rows):
    """Prints rows of (partition, *COLUMNS)."""
    print(json.dumps({str(row[0]): dict(zip(COLUMNS, (int(v) for v in row[1:]))) for row in rows}, sort_keys=True))
