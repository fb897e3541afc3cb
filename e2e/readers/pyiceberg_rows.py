from answer import env, rows
from pyiceberg_lake import catalog

lake = catalog()


def read(name, where):
    name, _, tag = name.partition("@")
    columns = [c.strip().strip('"') for c in env("SELECT").split(",")]
    table = lake.load_table(name)
    snapshot = table.snapshot_by_name(tag).snapshot_id if tag else None
    scan = table.scan(row_filter=where, selected_fields=tuple(columns), snapshot_id=snapshot)
    return [[row[c] for c in columns] for row in scan.to_arrow().to_pylist()]


rows(read)
