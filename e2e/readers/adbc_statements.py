"""Statements for the Flight SQL server by the ADBC driver."""

import time

import adbc_driver_flightsql.dbapi as flightsql

from answer import env
from statements import serve

con = flightsql.connect(env("FLIGHT"), autocommit=True)


def run(statement):
    with con.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


serve(run, time.process_time)
