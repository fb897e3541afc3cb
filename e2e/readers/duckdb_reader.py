from answer import query, say
from duckdb_lake import connect

con = connect()
say(lambda name: con.sql(query(
    "lake." + name,
    lambda c: f"('0x' || substr({c}, 1, 8))::bigint",
    lambda c: f"epoch_ms({c})",
)).fetchall())
