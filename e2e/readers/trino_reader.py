import trino

from answer import env, query, say

con = trino.dbapi.connect(host="127.0.0.1", port=int(env("TRINO_PORT")), user="firth", catalog="lake")
cursor = con.cursor()
cursor.execute(query(
    env("TABLE"),
    lambda c: f"from_base(substr({c}, 1, 8), 16)",
    lambda c: f"to_milliseconds({c} - timestamp '1970-01-01 00:00:00 UTC')",
))
say(cursor.fetchall())
