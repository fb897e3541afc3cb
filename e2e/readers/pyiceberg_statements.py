import time

import pyarrow.compute as pc

from pyiceberg_lake import catalog
from statements import serve

lake = catalog()


def offsets(name):
    """By partition: rows, different offsets, the first offset and the last."""
    rows = lake.load_table(name).scan(selected_fields=("_kafka_partition", "_kafka_offset")).to_arrow()
    found = []
    for partition in pc.unique(rows["_kafka_partition"]).to_pylist():
        column = rows.filter(pc.equal(rows["_kafka_partition"], partition))["_kafka_offset"]
        ends = pc.min_max(column).as_py()
        found.append([partition, len(column), pc.count_distinct(column).as_py(), ends["min"], ends["max"]])
    return found


serve(offsets, time.process_time)
