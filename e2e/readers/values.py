"""Rows as text that is the same from every engine, and counts under conditions.

FIRTH_QUERIES names a file with a list of {"table", "columns": [[name, type]], "where": {"column", "type", "op", "value"}}. The answer
is a list: the rows of a query with columns, the count of a query without, or the engine's error as text.
"""

import datetime
import decimal
import hashlib
import json
import math
import struct
import uuid

from answer import env

LONG = 200  # a text with more characters is told by its length and hash
AT_ONCE = 25  # counts that one statement asks for


def plain(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack(">d", value).hex()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (str, uuid.UUID)):
        text = str(value)
        if len(text) > LONG:
            return f"{len(text)} {hashlib.sha256(text.encode()).hexdigest()}"
        return "'" + text
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    return nested(value)


def nested(value):
    """Structs and maps by name, sorted; lists in order."""
    if hasattr(value, "_names"):  # Trino's row, which has any attribute
        value = dict(zip(value._names, value))
    elif hasattr(value, "asDict"):  # Spark's Row
        value = value.asDict()
    if isinstance(value, dict):
        pairs = sorted((str(k), plain(v)) for k, v in value.items())
        return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
    return "[" + ", ".join(plain(v) for v in value) + "]"


def cell(value, kind):
    if kind == "float" and value is not None and math.isfinite(value):
        value = struct.unpack("f", struct.pack("f", value))[0]
    return plain(value)


def queries():
    with open(env("QUERIES")) as file:
        return json.load(file)


def say_values(read, count):
    """read(query) returns the rows of a query, count(queries) as many numbers."""
    asked = queries()
    answers = [None] * len(asked)
    counted = [i for i, q in enumerate(asked) if not q["columns"]]
    for i, q in enumerate(asked):
        if q["columns"]:
            answers[i] = attempt(lambda q=q: [[cell(v, c[1]) for v, c in zip(row, q["columns"])] for row in read(q)])
    for start in range(0, len(counted), AT_ONCE):
        some = counted[start:start + AT_ONCE]
        found = attempt(lambda: count([asked[i] for i in some]))
        if isinstance(found, str):  # which of them?
            found = [one if isinstance(one, str) else one[0]
                     for one in (attempt(lambda i=i: count([asked[i]])) for i in some)]
        for i, number in zip(some, found):
            answers[i] = number
    print(json.dumps(answers))


def attempt(act):
    try:
        return act()
    except Exception as e:  # the test tells which query the engine could not answer
        return f"{type(e).__name__}: {str(e)[:2000]}"


class Dialect:
    """How an engine writes types, strings and names."""

    def __init__(self, types, quote='"', backslash=False):
        self.types, self.quote, self.backslash = types, quote, backslash

    def name(self, text):
        return self.quote + text + self.quote

    def literal(self, kind, text):
        if kind == "binary":
            return f"X'{text}'"
        if kind.startswith("timestamp"):
            text = text.replace("T", " ")
        if self.backslash:
            text = text.replace("\\", "\\\\").replace("'", "\\'")
        else:
            text = text.replace("'", "''")
        return f"cast('{text}' as {self.types.get(kind, kind)})"

    def where(self, query):
        w = query["where"]
        if not w["op"]:
            return "true"
        if w["op"].startswith("is"):
            return f"{self.name(w['column'])} {w['op']}"
        return f"{self.name(w['column'])} {w['op']} {self.literal(w['type'], w['value'])}"

    def rows(self, query, prefix=""):
        names = ", ".join(self.name(c[0]) for c in query["columns"])
        return f"select {names} from {prefix}{query['table']} where {self.where(query)}"

    def counts(self, run, some, prefix=""):
        """The tables are small, and one row each is cheaper for the engines than as many aggregates."""
        found = [row[0] for row in run(" union all ".join(
            f"select {i} as i from {prefix}{q['table']} where {self.where(q)}" for i, q in enumerate(some)))]
        return [found.count(i) for i in range(len(some))]
