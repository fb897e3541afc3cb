from answer import env, rows
from duckdb_lake import connect

con = connect()
rows(lambda name: con.sql(f"select {env('SELECT')} from lake.{name} where {env('WHERE', 'true')}").fetchall())
