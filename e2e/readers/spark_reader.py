from answer import env, query, say
from spark_lake import session

spark = session()
for statement in filter(None, env("BEFORE").split(";")):
    spark.sql(statement)
say(lambda name: spark.sql(query(
    "lake." + name,
    lambda c: f"cast(conv(substr({c}, 1, 8), 16, 10) as bigint)",
    lambda c: f"unix_millis({c})",
)).collect())
spark.stop()
