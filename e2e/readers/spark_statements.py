import os

from spark_lake import session
from statements import serve

spark = session()
java = spark.sparkContext._gateway.proc.pid


def spent():
    """What this program takes to print rows is not Spark's."""
    with open(f"/proc/{java}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


serve(lambda statement: spark.sql(statement).collect(), spent)
spark.stop()
