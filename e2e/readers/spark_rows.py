from answer import env, rows
from spark_lake import session

spark = session()
rows(lambda name: spark.sql(f"select {env('SELECT')} from lake.{name} where {env('WHERE', 'true')}").collect())
spark.stop()
