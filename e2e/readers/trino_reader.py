from answer import query, say
from trino_lake import run

say(lambda name: run(query(
    name,
    lambda c: f"from_base(substr({c}, 1, 8), 16)",
    lambda c: f"to_milliseconds({c} - timestamp '1970-01-01 00:00:00 UTC')",
)))
