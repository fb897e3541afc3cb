import time

from duckdb_lake import connect
from statements import serve

con = connect()
serve(lambda statement: con.sql(statement).fetchall(), time.process_time)
