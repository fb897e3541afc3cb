from answer import env, rows
from spark_lake import session

spark = session()


def read(name, where):
    name, _, tag = name.partition("@")
    version = f"version as of '{tag}'" if tag else ""
    return spark.sql(f"select {env('SELECT')} from lake.{name} {version} where {where}").collect()


rows(read)
spark.stop()
