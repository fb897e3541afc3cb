import time

import pyarrow.compute as pc

from answer import env
from pyiceberg_lake import catalog
from statements import serve

catalogs = {"lake": catalog(), "committed": catalog(env("COMMITTED"))}


def load(name):
    warehouse, _, table = name.partition(".")
    return catalogs[warehouse].load_table(table)


def offsets(name):
    """By partition: rows, different offsets, the first offset and the last."""
    rows = load(name).scan(selected_fields=("_kafka_partition", "_kafka_offset")).to_arrow()
    found = []
    for partition in pc.unique(rows["_kafka_partition"]).to_pylist():
        column = rows.filter(pc.equal(rows["_kafka_partition"], partition))["_kafka_offset"]
        ends = pc.min_max(column).as_py()
        found.append([partition, len(column), pc.count_distinct(column).as_py(), ends["min"], ends["max"]])
    return found


def newest(name):
    """Every row of a keyed table: partition, offset, key."""
    rows = load(name).scan(selected_fields=("_kafka_partition", "_kafka_offset", "id")).to_arrow()
    return list(zip(*(rows[name].to_pylist() for name in ("_kafka_partition", "_kafka_offset", "id"))))


def run(statement):
    name, _, kind = statement.partition(" ")
    return newest(name) if kind == "rows" else offsets(name)


serve(run, time.process_time)
