"""Looks single values up in a file whose values lie in no order and whose row groups have the given
number of rows: says how many row groups each reader takes for a value that is there and for one that is
not."""

import sys

path, group_rows = sys.argv[2], int(sys.argv[3])
places = [5, group_rows + 17, 5 * group_rows - 1]


def duckdb_takes():
    import duckdb

    connection = duckdb.connect()

    def takes(column, place):
        value = f"(select {column} from read_parquet('{path}') limit 1 offset {place})"
        [[value]] = connection.sql(f"select {value}").fetchall()
        excluded = connection.execute("select row_group_id, bloom_filter_excludes from parquet_bloom_probe(?, ?, ?)",
                                      [path, column, value]).fetchall()
        assert (place // group_rows, False) in excluded, (column, place, excluded)
        # A value near by, with the same bounds, that is in no row group.
        absent = value[:-1] + "x" if column == "s" else value + 1
        none = connection.execute("select count(*) from parquet_bloom_probe(?, ?, ?) where not bloom_filter_excludes",
                                  [path, column, absent]).fetchone()[0]
        return sum(not out for _, out in excluded), none

    return takes


def spark_takes():
    import os

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.adaptive.enabled", "false").getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.read.parquet(path)
    rows = frame.collect()

    def scanned(condition, found):
        some = frame.filter(condition)
        assert len(some.collect()) == found, condition
        plan = some._jdf.queryExecution().executedPlan()
        while plan.children().size() > 0:
            plan = plan.children().head()
        return -(-plan.metrics().apply("numOutputRows").value() // group_rows)

    def takes(column, place):
        value = rows[place][column]
        if column == "s":
            return scanned(f"s = '{value}'", 1), scanned(f"s = '{value[:-1]}x'", 0)
        return scanned(f"{column} = {value!r}", 1), scanned(f"{column} = {value + 1!r}", 0)

    return takes


takes = {"duckdb": duckdb_takes, "spark": spark_takes}[sys.argv[1]]()
worst_there = worst_absent = 0
for column in ("i", "s", "d"):
    for place in places:
        there, absent = takes(column, place)
        worst_there, worst_absent = max(worst_there, there), max(worst_absent, absent)
print("row groups taken at most:", worst_there, "for a value that is there,", worst_absent, "for one that is not")
sys.exit(not (worst_there <= 2 and worst_absent <= 1))
