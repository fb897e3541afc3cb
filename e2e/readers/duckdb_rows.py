from answer import env, rows
from duckdb_lake import connect

con = connect()
rows(lambda name, where: con.sql(f"select {env('SELECT')} from lake.{name} where {where}").fetchall())
