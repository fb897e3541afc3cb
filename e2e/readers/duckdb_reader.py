import duckdb
from duckdb_extensions import import_extension

from answer import env, query, say

con = duckdb.connect()
for extension in ("httpfs", "avro", "iceberg"):
    import_extension(extension, con=con)
    con.sql("load " + extension)
con.sql("set timezone = 'UTC'")
if env("S3_ENDPOINT"):
    con.sql(f"""create secret s (type s3, key_id '{env("S3_KEY")}', secret '{env("S3_SECRET")}',
        endpoint '{env("S3_ENDPOINT").removeprefix("http://")}', url_style 'path', use_ssl false, region 'us-east-1')""")
if env("TOKEN"):
    con.sql(f"create secret c (type iceberg, token '{env('TOKEN')}')")
    con.sql(f"attach '' as lake (type iceberg, endpoint '{env('CATALOG')}', secret c)")
else:
    con.sql(f"attach '' as lake (type iceberg, endpoint '{env('CATALOG')}', authorization_type 'none')")
say(con.sql(query(
    "lake." + env("TABLE"),
    lambda c: f"('0x' || substr({c}, 1, 8))::bigint",
    lambda c: f"epoch_ms({c})",
)).fetchall())
