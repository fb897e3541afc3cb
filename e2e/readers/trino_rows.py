from answer import env, rows
from trino_lake import run


def read(name, where):
    name, _, tag = name.partition("@")
    version = f"for version as of '{tag}'" if tag else ""
    return run(f"select {env('SELECT')} from {name} {version} where {where}")


rows(read)
