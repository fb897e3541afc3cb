from trino_lake import run
from values import Dialect, say_values

sql = Dialect({
    "int": "integer", "long": "bigint", "float": "real", "string": "varchar",
    "timestamp": "timestamp(6)", "timestamptz": "timestamp(6) with time zone",
})
say_values(lambda q: run(sql.rows(q)), lambda some: sql.counts(run, some))
