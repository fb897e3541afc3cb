"""ClickHouse as a library, with the catalog as database lake. A table is lake.`namespace.table` there."""

import json
import time

from chdb import session

from answer import env
from statements import serve

clickhouse = session.Session()


def run(statement):
    try:
        text = str(clickhouse.query(statement, "JSONCompact"))
    except Exception:
        clickhouse.query("select 1", "JSONCompact")  # which has what the failed statement has printed
        raise
    return json.loads(text)["data"] if text else []


run("set allow_database_iceberg = 1, output_format_json_quote_64bit_integers = 0")
for name, warehouse in (("lake", env("WAREHOUSE")), ("committed", env("COMMITTED"))):
    if name == "lake" or warehouse:
        run(f"""create database {name} engine = DataLakeCatalog('{env("CATALOG")}/v1')
            settings catalog_type = 'rest', warehouse = '{warehouse}'""")
serve(run, time.process_time)
