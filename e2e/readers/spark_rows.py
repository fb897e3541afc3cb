from answer import env, rows
from spark_lake import session

spark = session()
rows(lambda name, where: spark.sql(f"select {env('SELECT')} from lake.{name} where {where}").collect())
spark.stop()
