"""The catalog as PyIceberg sees it."""

from pyiceberg.catalog import load_catalog

from answer import env


def catalog(warehouse=env("WAREHOUSE")):
    properties = {"uri": env("CATALOG")}
    if warehouse:
        properties["warehouse"] = warehouse
    if env("PLANNING") == "server":
        properties["rest-scan-planning-enabled"] = "true"
    if env("TOKEN"):
        properties["token"] = env("TOKEN")
    if env("S3_ENDPOINT"):
        properties |= {
            "s3.endpoint": env("S3_ENDPOINT"), "s3.access-key-id": env("S3_KEY"),
            "s3.secret-access-key": env("S3_SECRET"), "s3.region": "us-east-1",
        }
    return load_catalog("lake", type="rest", **properties)
