"""Compares n.own with n.library for every n: all values, and what DuckDB finds by statistics."""

import glob
import sys


def pyarrow_rows(path):
    import pyarrow.parquet

    # Schemas with the types as the file has them; repr tells NaN and the sign of zero.
    table = pyarrow.parquet.ParquetFile(path).read()
    return [str(table.schema)] + [repr(column.to_pylist()) for column in table.columns]


def duckdb_rows(path):
    import duckdb

    connection = duckdb.connect()
    relation = connection.sql(f"select * from read_parquet('{path}')")
    found = [repr(relation.types), repr(relation.fetchall())]
    for name, kind in zip(relation.columns, relation.types):
        if kind.id == "struct":
            continue
        column = f'"{name}"'
        found.append(repr(connection.sql(
            f"select min({column}), max({column}), count({column}) from read_parquet('{path}')").fetchall()))
        # A filter by a value that is there prunes by the bounds of row groups and pages.
        found.append(repr(connection.sql(
            f"select count(*) from read_parquet('{path}') "
            f"where {column} = (select {column} from read_parquet('{path}') limit 1 offset 3)").fetchall()))
    return found


reader = {"pyarrow": pyarrow_rows, "duckdb": duckdb_rows}[sys.argv[1]]
wrong = 0
files = sorted(glob.glob(sys.argv[2] + "/*.own"))
for own in files:
    library = own.removesuffix("own") + "library"
    try:
        same = reader(own) == reader(library)
    except Exception as fault:
        same, fault = False, print(own, fault)
    if not same:
        print("differs:", own)
        wrong += 1
print(len(files), "pairs,", wrong, "differ")
sys.exit(wrong > 0 or not files)
