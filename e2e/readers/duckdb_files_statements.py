"""A plain DuckDB for statements over files."""

import time

import duckdb

from statements import serve

con = duckdb.connect()
con.execute("set enable_progress_bar = false")
serve(lambda statement: con.execute(statement).fetchall(), time.process_time)
