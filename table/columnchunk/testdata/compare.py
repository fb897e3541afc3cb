"""Compares n.own with n.library for every n: all values, and what readers find by statistics."""

import glob
import sys


def pyarrow_rows(path):
    import pyarrow.parquet

    # Schemas with the types as the file has them; repr tells NaN and the sign of zero.
    checked = path.endswith(".own")  # the library writes no checksums
    table = pyarrow.parquet.ParquetFile(path, page_checksum_verification=checked).read()
    return [str(table.schema)] + [repr(column.to_pylist()) for column in table.columns]


def duckdb_rows(path):
    import duckdb

    connection = duckdb.connect()
    relation = connection.sql(f"select * from read_parquet('{path}')")
    found = [repr(relation.types), repr(relation.fetchall())]
    for name, kind in zip(relation.columns, relation.types):
        if kind.id == "struct":
            continue
        column = f'"{name}"'
        found.append(repr(connection.sql(
            f"select min({column}), max({column}), count({column}) from read_parquet('{path}')").fetchall()))
        # A filter by a value that is there prunes by bounds and bloom filters.
        found.append(repr(connection.sql(
            f"select count(*) from read_parquet('{path}') "
            f"where {column} = (select {column} from read_parquet('{path}') limit 1 offset 3)").fetchall()))
    return found


def spark_rows():
    import os

    from pyspark.sql import SparkSession

    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    spark = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC").config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN").config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.legacy.parquet.nanosAsLong", "true")
        .config("spark.hadoop.parquet.page.verify-checksum.enabled", "true").getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")

    def rows(path):
        """Reads with the batch reader and with the row reader."""
        found = []
        for vectorized in ("true", "false"):
            spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorized)
            try:
                frame = spark.read.parquet(path)
                found += [str(frame.schema), repr(frame.collect())]
            except Exception as fault:
                if "PARQUET_TYPE_ILLEGAL" not in str(fault):
                    raise
                found.append("a file with times, which Spark does not read")
        return found

    return rows


reader = {"pyarrow": lambda: pyarrow_rows, "duckdb": lambda: duckdb_rows, "spark": spark_rows}[sys.argv[1]]()
wrong = 0
files = sorted(glob.glob(sys.argv[2] + "/*.own"))[:int(sys.argv[3])]
for own in files:
    library = own.removesuffix("own") + "library"
    try:
        same = reader(own) == reader(library)
    except Exception as fault:
        same, fault = False, print(own, fault)
    if not same:
        print("differs:", own)
        wrong += 1
print(len(files), "pairs,", wrong, "differ")
sys.exit(wrong > 0 or not files)
