from answer import env, rows
from trino_lake import run

rows(lambda name, where: run(f"select {env('SELECT')} from {name} where {where}"))
