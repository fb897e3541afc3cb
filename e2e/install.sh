#!/usr/bin/env bash
# Installs the real components that the end-to-end tests run against, by package name, into a cache
# folder. Each step leaves a stamp named for its version, so a warm cache costs nothing.
#
#   e2e/install.sh            everything
#   e2e/install.sh kafka rck  only these
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FIRTH_E2E_CACHE:-$HOME/.cache/firth-e2e}
mkdir -p "$cache/bin" "$cache/stamps"

minio_version=v0.0.0-20260212201848-7aac2a2c5b7c
toxiproxy_version=v2.5.0
pyspark_version=4.0.1
registry_version=2.6.13.Final
chdb_version=4.4.0
polars_version=2.1.0

# once STAMP COMMAND... runs the command unless the stamp says that it ran before.
once() {
  local stamp=$cache/stamps/$1 log=$cache/stamps/$1.log
  shift
  [ -e "$stamp" ] && return 0
  local began=$SECONDS
  echo "install $(basename "$stamp") ..."
  if ! "$@" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "install $(basename "$stamp"): broken, see $log" >&2
    return 1
  fi
  touch "$stamp"
  echo "install $(basename "$stamp"): $((SECONDS - began)) s"
}

# jars POM FOLDER copies the dependencies of a pom into a folder.
jars() {
  mkdir -p "$cache/$2"
  mvn -B -q -f "$here/install/$1" dependency:copy-dependencies \
    -DoutputDirectory="$cache/$2" -DincludeScope=runtime
}

go_tool() { # MODULE@VERSION NAME BINARY
  GOBIN="$cache/gobin" GOFLAGS= go install "$1" && mv "$cache/gobin/$2" "$cache/bin/$3"
}

venv() { # FOLDER REQUIREMENT...
  local folder=$cache/$1
  shift
  rm -rf "$folder"
  python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
}

trino() {
  jars trino/server.xml trino/lib
  jars trino/iceberg.xml trino/plugin/iceberg
  "$here/install/trino/build.sh" "$cache/trino"
}

registry() {
  mkdir -p "$cache/registry"
  mvn -B -q dependency:copy -Dartifact=io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all \
    -DoutputDirectory="$cache/registry"
  tar -xzf "$cache"/registry/*.tar.gz -C "$cache/registry"
  rm "$cache"/registry/*.tar.gz
}

postgres() {
  if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql
  fi
}

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(kafka rck toxiproxy registry postgres debezium readers clickhouse flight spark trino minio)
for part in "${parts[@]}"; do
  case $part in
    kafka) once kafka-4.3.1 jars kafka/pom.xml kafka/libs ;;
    rck) once rck-1.11.0 jars rck/pom.xml rck/libs ;;
    minio) once "minio-$minio_version" go_tool "github.com/minio/minio@$minio_version" minio minio ;;
    toxiproxy) once "toxiproxy-$toxiproxy_version" \
      go_tool "github.com/Shopify/toxiproxy/v2/cmd/server@$toxiproxy_version" server toxiproxy ;;
    registry) once "registry-$registry_version" registry ;;
    postgres) once postgres postgres ;;
    debezium) once debezium-3.7.0-avro-2.6.13 jars debezium/pom.xml debezium/libs ;;
    readers)
      once pyiceberg-0.11.1 venv py-iceberg 'pyiceberg[s3fs,pyarrow]==0.11.1' 'trino==0.340.0'
      once "polars-$polars_version" venv py-polars "polars==$polars_version" 'pyiceberg[pyarrow]==0.12.0'
      once duckdb-1.5.5 venv py-duckdb duckdb==1.5.5 duckdb-extensions \
        duckdb-extension-iceberg duckdb-extension-httpfs duckdb-extension-avro pytz ;;
    clickhouse) once "chdb-$chdb_version" venv py-chdb "chdb==$chdb_version" chdb-core==26.9.0 ;;
    flight)
      once adbc-1.13.0 venv py-adbc adbc-driver-flightsql==1.13.0 adbc-driver-manager==1.13.0 pyarrow==26.0.1
      once flight-jdbc-18.3.0 jars jdbc/pom.xml jdbc ;;
    spark)
      once "pyspark-$pyspark_version" venv py-spark "pyspark==$pyspark_version"
      once spark-iceberg-1.11.0 jars spark/pom.xml spark/jars ;;
    trino) once trino-483 trino ;;
    *) echo "unknown component $part" >&2; exit 2 ;;
  esac
done
