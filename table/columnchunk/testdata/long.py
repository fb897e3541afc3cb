"""Reads a file of texts, each of one letter repeated: counts the texts of every letter that are whole."""

import collections
import json
import sys

reader, path, width = sys.argv[1], sys.argv[2], int(sys.argv[3])
found = collections.Counter()
if reader == "pyarrow":
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
    for batch in file.iter_batches(batch_size=64):
        for value in batch.column(0).to_pylist():
            found[value[0]] += value == value[0] * width
else:
    query = f"select substr(v, 1, 1), count(*) from texts where v = repeat(substr(v, 1, 1), {width}) group by 1"
    if reader == "duckdb":
        import duckdb

        rows = duckdb.sql(query.replace("texts", f"read_parquet('{path}')")).fetchall()
    else:
        from pyspark.sql import SparkSession

        spark = (
            SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
            .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.memory", "4g").config("spark.sql.parquet.columnarReaderBatchSize", "64").getOrCreate()
        )
        spark.read.parquet(path).createOrReplaceTempView("texts")
        rows = []
        for vectorized in ("true", "false"):  # every text twice
            spark.conf.set("spark.sql.parquet.enableVectorizedReader", vectorized)
            rows += [(letter, n / 2) for letter, n in spark.sql(query).collect()]
    for letter, n in rows:
        found[letter] += n
print(json.dumps(found))
sys.exit(any(found[letter] != n for letter, n in json.loads(sys.argv[4]).items()))
