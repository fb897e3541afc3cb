"""polars over PyIceberg: a statement is the name of a table, and what is asked of it."""

import os
import time

os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"  # which is the default, and says that there is another

import polars as pl

from answer import env
from pyiceberg_lake import catalog
from statements import serve

catalogs = {"lake": catalog(), "committed": catalog(env("COMMITTED"))}


def scan(name):
    warehouse, _, table = name.partition(".")
    table = catalogs[warehouse].load_table(table)
    # polars 2.1.0 does not take the keys that the catalog gave PyIceberg.
    keys = {key: value for key, value in table.io.properties.items() if key.startswith("s3.")}
    return pl.scan_iceberg(table, storage_options=keys)


def offsets(name):
    """By partition: rows, different offsets, the first offset and the last."""
    offset = pl.col("_kafka_offset")
    return scan(name).group_by("_kafka_partition").agg(
        pl.len(), offset.n_unique().alias("different"), offset.min().alias("first"), offset.max().alias("last"))


def newest(name):
    """Every row of a keyed table: partition, offset, key."""
    return scan(name).select("_kafka_partition", "_kafka_offset", "id")


def run(statement):
    name, _, kind = statement.partition(" ")
    return (newest(name) if kind == "rows" else offsets(name)).collect().rows()


serve(run, time.process_time)
