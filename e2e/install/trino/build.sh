#!/usr/bin/env bash
# Compiles the server's main class and names the Iceberg plugin for the service loader.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trino=$1
jdk=$("$here/../jdk25.sh")
echo "$jdk" >"$trino/jdk"
mkdir -p "$trino/src" "$trino/service/META-INF/services"
"$jdk/bin/javac" -cp "$trino/lib/*" -d "$trino/src" "$here/FirthTrino.java"
echo io.trino.plugin.iceberg.IcebergPlugin >"$trino/service/META-INF/services/io.trino.spi.Plugin"
"$jdk/bin/jar" --create --file "$trino/plugin/iceberg/firth-service.jar" -C "$trino/service" META-INF
