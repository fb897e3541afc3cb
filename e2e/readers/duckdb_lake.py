"""A DuckDB connection with the catalog attached as lake."""

import duckdb
from duckdb_extensions import import_extension

from answer import env


def connect():
    con = duckdb.connect()
    for extension in ("httpfs", "avro", "iceberg"):
        import_extension(extension, con=con)
        con.sql("load " + extension)
    con.sql("set timezone = 'UTC'")
    # With it DuckDB 1.5.5 may take the first deletion vector of a Puffin file for another one of the same file,
    # as Spark writes them.
    con.sql("set enable_external_file_cache = false")
    if env("S3_ENDPOINT"):
        con.sql(f"""create secret s (type s3, key_id '{env("S3_KEY")}', secret '{env("S3_SECRET")}',
            endpoint '{env("S3_ENDPOINT").removeprefix("http://")}', url_style 'path', use_ssl false, region 'us-east-1')""")
    authorization = "authorization_type 'none'"
    if env("TOKEN"):
        con.sql(f"create secret c (type iceberg, token '{env('TOKEN')}')")
        authorization = "secret c"
    # Without it DuckDB makes a secret of the settings that the catalog hands out, and keeps no other.
    own_keys = "" if env("VENDED") else ", access_delegation_mode 'none'"
    for name, warehouse in (("lake", env("WAREHOUSE")), ("committed", env("COMMITTED"))):
        if name == "lake" or warehouse:
            con.sql(f"attach '{warehouse}' as {name} (type iceberg, endpoint '{env('CATALOG')}', {authorization}{own_keys})")
    return con
