"""What every reader is asked, and the shape of the answer."""

import json
import os

COLUMNS = [
    "rows", "user_id", "quantity", "cents", "ts_ms", "mobile", "url_chars", "event_id", "session", "offsets",
]


def env(name, default=""):
    return os.environ.get("FIRTH_" + name, default)


def tables():
    """The tables to read, as namespace.table."""
    return env("TABLE").split(",")


def query(table, hexdigits, millis):
    """The question in SQL; hexdigits and millis are the engine's ways to write the two conversions."""
    return f"""
        select _kafka_partition as p, count(*), sum(user_id), sum(cast(quantity as bigint)),
               sum(cast(round(amount * 100) as bigint)), sum({millis('ts')}),
               sum(case when is_mobile then 1 else 0 end), sum(cast(length(url) as bigint)),
               sum({hexdigits('event_id')}), sum({hexdigits('session')}), sum(_kafka_offset)
        from {table} group by _kafka_partition"""


def answer(rows):
    """Rows of (partition, *COLUMNS) as an object by partition."""
    return {str(row[0]): dict(zip(COLUMNS, (int(v) for v in row[1:]))) for row in rows}


def say(read):
    """Reads every table with read(name), which returns rows of (partition, *COLUMNS), and prints them."""
    print(json.dumps({name: answer(read(name)) for name in tables()}, sort_keys=True))


def rows(read):
    """Reads every table under every condition with read(name, condition) and prints the rows, sorted, values as text."""
    print(json.dumps({name: {where: sorted([text(v) for v in row] for row in read(name, where))
                             for where in env("WHERE", "true").split(";")} for name in tables()}))


def text(value):
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return repr(value)
    return "null" if value is None else str(value)
