"""Asks a Flight SQL server for tables, columns and rows by the ADBC driver, and for what it must refuse."""

import json
import sys

import adbc_driver_flightsql.dbapi as flightsql

from answer import env, tables

TOKEN = "adbc.flight.sql.authorization_header"


def connect(token):
    return flightsql.connect(env("FLIGHT"), db_kwargs={TOKEN: "Bearer " + token}, autocommit=True)


def listed(con):
    """Columns by table, as BI tools look for them."""
    return {f"{catalog['catalog_name']}.{schema['db_schema_name']}.{table['table_name']}":
            [column["column_name"] for column in table["table_columns"]]
            for catalog in con.adbc_get_objects(depth="columns").read_all().to_pylist()
            for schema in catalog["catalog_db_schemas"]
            for table in schema["db_schema_tables"]}


def cells(rows):
    return [[str(value) for value in row] for row in rows]


def refusal(act):
    try:
        act()
    except flightsql.Error as e:
        return str(e)
    return "done"


def guess():
    with connect("guessed") as con, con.cursor() as cursor:
        cursor.execute("SELECT 1")


def main():
    (table,) = tables()
    said = {"refused": {"token": refusal(guess)}}
    with connect(env("TOKEN")) as con, con.cursor() as cursor:
        said["columns"] = listed(con)
        cursor.execute(f"SELECT _kafka_partition, count(*), CAST(sum(user_id) AS BIGINT) FROM {table} GROUP BY ALL ORDER BY ALL")
        said["rows"] = cells(cursor.fetchall())
        said["prepared"] = []
        for partition in (0, 1):
            cursor.execute(f"SELECT count(*) FROM {table} WHERE _kafka_partition = ?", [partition])
            said["prepared"] += cells(cursor.fetchall())
        cursor.execute(f"SELECT * FROM {table} LIMIT 3")
        said["whole"] = len(cursor.fetchall())
        said["refused"]["drop"] = refusal(lambda: cursor.execute(f"DROP TABLE {table}"))
    json.dump(said, sys.stdout)


main()
