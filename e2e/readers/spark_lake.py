"""A Spark session with the catalog lake."""

import glob
import os

from pyspark.sql import SparkSession

from answer import env


def settings(warehouse):
    """Those of a catalog of one warehouse."""
    found = {"": "org.apache.iceberg.spark.SparkCatalog", ".type": "rest", ".uri": env("CATALOG"), ".cache-enabled": "false"}
    if env("PLANNING"):
        found[".scan-planning-mode"] = env("PLANNING")
    if warehouse:
        found[".warehouse"] = warehouse
    if env("TOKEN"):
        found[".token"] = env("TOKEN")
    if env("VENDED"):
        found |= {
            ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            ".header.X-Iceberg-Access-Delegation": "vended-credentials",
        }
    elif env("S3_ENDPOINT"):
        found |= {
            ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            ".s3.endpoint": env("S3_ENDPOINT"),
            ".s3.path-style-access": "true",
            ".s3.access-key-id": env("S3_KEY"),
            ".s3.secret-access-key": env("S3_SECRET"),
            ".client.region": "us-east-1",
        }
    return found


def session():
    jars = ",".join(glob.glob(os.path.join(env("SPARK_JARS"), "*.jar")))
    builder = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", jars)
        .config("spark.driver.memory", "1g")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    )
    for catalog, warehouse in (("lake", env("WAREHOUSE")), ("committed", env("COMMITTED"))):
        if catalog == "lake" or warehouse:
            for name, value in settings(warehouse).items():
                builder = builder.config(f"spark.sql.catalog.{catalog}{name}", value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark
