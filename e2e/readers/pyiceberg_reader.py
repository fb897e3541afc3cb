import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import load_catalog

from answer import env, say

properties = {"uri": env("CATALOG")}
if env("TOKEN"):
    properties["token"] = env("TOKEN")
if env("S3_ENDPOINT"):
    properties |= {
        "s3.endpoint": env("S3_ENDPOINT"), "s3.access-key-id": env("S3_KEY"),
        "s3.secret-access-key": env("S3_SECRET"), "s3.region": "us-east-1",
    }
table = load_catalog("lake", type="rest", **properties).load_table(env("TABLE"))


def hexdigits(column):
    return pa.array([int(v[:8], 16) for v in column.to_pylist()], pa.int64())


totals = {}
for batch in table.scan().to_arrow_batch_reader():
    ts = batch["ts"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    rows = pa.table({
        "p": batch["_kafka_partition"],
        "rows": pa.array([1] * batch.num_rows, pa.int64()),
        "user_id": batch["user_id"],
        "quantity": batch["quantity"].cast(pa.int64()),
        "cents": pc.round(pc.multiply(batch["amount"], 100.0)).cast(pa.int64()),
        "ts_ms": ts,
        "mobile": batch["is_mobile"].cast(pa.int64()),
        "url_chars": pc.utf8_length(batch["url"]).cast(pa.int64()),
        "event_id": hexdigits(batch["event_id"]),
        "session": hexdigits(batch["session"]),
        "offsets": batch["_kafka_offset"],
    })
    names = rows.column_names[1:]
    for row in rows.group_by("p").aggregate([(n, "sum") for n in names]).to_pylist():
        have = totals.setdefault(row["p"], [0] * len(names))
        for i, name in enumerate(names):
            have[i] += row[name + "_sum"]
say([(p, *values) for p, values in totals.items()])
