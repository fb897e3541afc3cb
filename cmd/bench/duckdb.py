"""Converts JSON lines to one Parquet file and prints the cost of that, without the start of Python."""

import json
import resource
import sys
import time

import duckdb

lines, parquet, columns = sys.argv[1:]
con = duckdb.connect()
con.sql("set enable_progress_bar = false")


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


began, spent = time.monotonic(), cpu()
con.sql(
    f"copy (select * from read_json('{lines}', format='newline_delimited', columns={columns}))"
    f" to '{parquet}' (format parquet, compression zstd, compression_level 1)"
)
seconds, spent = time.monotonic() - began, cpu() - spent
rows = con.sql(f"select count(*) from '{parquet}'").fetchone()[0]
print(
    json.dumps(
        {
            "rows_per_cpu_s": rows / spent,
            "rows_per_s": rows / seconds,
            "rss_bytes_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    )
)
