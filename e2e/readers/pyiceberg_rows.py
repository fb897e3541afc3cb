from answer import env, rows
from pyiceberg_lake import catalog

lake = catalog()


def read(name, where):
    columns = [c.strip().strip('"') for c in env("SELECT").split(",")]
    scan = lake.load_table(name).scan(row_filter=where, selected_fields=tuple(columns))
    return [[row[c] for c in columns] for row in scan.to_arrow().to_pylist()]


rows(read)
