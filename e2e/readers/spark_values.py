from answer import env
from spark_lake import session
from values import Dialect, say_values

spark = session()
# Hundreds of small queries: compiling each, and loading its table, would take longer than reading.
for name, value in {
    "spark.sql.catalog.lake.cache-enabled": "true",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}.items():
    spark.conf.set(name, value)
for statement in filter(None, env("BEFORE").split(";")):
    spark.sql(statement)
sql = Dialect({"long": "bigint", "uuid": "string", "timestamp": "timestamp_ntz", "timestamptz": "timestamp"},
              quote="`", backslash=True)


def run(statement):
    return spark.sql(statement).collect()


def read(query):
    """Reads with the batch reader and with the row reader, which must agree."""
    answers = []
    for vectorized in ("true", "false"):
        spark.conf.set("spark.sql.iceberg.vectorization.enabled", vectorized)
        answers += run(sql.rows(query, "lake."))
    return answers


say_values(read, lambda some: sql.counts(run, some, "lake."))
spark.stop()
