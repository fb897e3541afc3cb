"""Statements on Trino's catalog lake."""

import trino

from answer import env


def run(statement):
    con = trino.dbapi.connect(host="127.0.0.1", port=int(env("TRINO_PORT")), user="firth", catalog="lake")
    cursor = con.cursor()
    cursor.execute(statement)
    return cursor.fetchall()
