import uuid

from pyiceberg import expressions

from pyiceberg_lake import catalog
from values import say_values

lake = catalog()
OPERATIONS = {
    "=": expressions.EqualTo, "<": expressions.LessThan, "<=": expressions.LessThanOrEqual,
    ">": expressions.GreaterThan, ">=": expressions.GreaterThanOrEqual,
    "is null": expressions.IsNull, "is not null": expressions.NotNull,
}
VALUES = {
    "int": int, "long": int, "float": float, "double": float, "boolean": lambda v: v == "true",
    "binary": bytes.fromhex, "uuid": uuid.UUID,
    "timestamp": lambda v: v.replace(" ", "T"), "timestamptz": lambda v: v.replace(" ", "T"),
}


def where(query):
    w = query["where"]
    if not w["op"]:
        return expressions.AlwaysTrue()
    if w["op"].startswith("is"):
        return OPERATIONS[w["op"]](w["column"])
    return OPERATIONS[w["op"]](w["column"], VALUES.get(w["type"], str)(w["value"]))


def read(query):
    names = [c[0] for c in query["columns"]]
    found = lake.load_table(query["table"]).scan(row_filter=where(query), selected_fields=tuple(names)).to_arrow()
    return zip(*(found[name].to_pylist(maps_as_pydicts="strict") for name in names))


def count(query):
    column = query["where"]["column"]
    scan = lake.load_table(query["table"]).scan(row_filter=where(query), selected_fields=(column,) if column else ("*",))
    return scan.to_arrow().num_rows


say_values(read, lambda some: [count(q) for q in some])
