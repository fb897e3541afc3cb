"""A Spark session with the catalog lake."""

import glob
import os

from pyspark.sql import SparkSession

from answer import env


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
        .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
        .config("spark.sql.catalog.lake.type", "rest")
        .config("spark.sql.catalog.lake.uri", env("CATALOG"))
        .config("spark.sql.catalog.lake.cache-enabled", "false")
    )
    if env("PLANNING"):
        builder = builder.config("spark.sql.catalog.lake.scan-planning-mode", env("PLANNING"))
    if env("WAREHOUSE"):
        builder = builder.config("spark.sql.catalog.lake.warehouse", env("WAREHOUSE"))
    if env("TOKEN"):
        builder = builder.config("spark.sql.catalog.lake.token", env("TOKEN"))
    if env("S3_ENDPOINT"):
        for name, value in {
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "s3.endpoint": env("S3_ENDPOINT"),
            "s3.path-style-access": "true",
            "s3.access-key-id": env("S3_KEY"),
            "s3.secret-access-key": env("S3_SECRET"),
            "client.region": "us-east-1",
        }.items():
            builder = builder.config("spark.sql.catalog.lake." + name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark
