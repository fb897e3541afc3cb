from duckdb_lake import connect
from values import Dialect, say_values

con = connect()
sql = Dialect({"long": "bigint", "string": "varchar"})


def run(statement):
    return con.sql(statement).fetchall()


say_values(lambda q: run(sql.rows(q, "lake.")), lambda some: sql.counts(run, some, "lake."))
