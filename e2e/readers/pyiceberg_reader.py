import pyarrow as pa
import pyarrow.compute as pc

from answer import say
from pyiceberg_lake import catalog

lake = catalog()


def hexdigits(column):
    return pa.array([int(v[:8], 16) for v in column.to_pylist()], pa.int64())


def read(name):
    totals = {}
    for batch in lake.load_table(name).scan().to_arrow_batch_reader():
        rows = pa.table({
            "p": batch["_kafka_partition"],
            "rows": pa.array([1] * batch.num_rows, pa.int64()),
            "user_id": batch["user_id"],
            "quantity": batch["quantity"].cast(pa.int64()),
            "cents": pc.round(pc.multiply(batch["amount"], 100.0)).cast(pa.int64()),
            "ts_ms": batch["ts"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()),
            "mobile": batch["is_mobile"].cast(pa.int64()),
            "url_chars": pc.utf8_length(batch["url"]).cast(pa.int64()),
            "event_id": hexdigits(batch["event_id"]),
            "session": hexdigits(batch["session"]),
            "offsets": batch["_kafka_offset"],
        })
        names = rows.column_names[1:]
        for row in rows.group_by("p").aggregate([(n, "sum") for n in names]).to_pylist():
            have = totals.setdefault(row["p"], [0] * len(names))
            for i, column in enumerate(names):
                have[i] += row[column + "_sum"]
    return [(p, *values) for p, values in totals.items()]


say(read)
