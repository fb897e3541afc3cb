#!/usr/bin/env bash
# Prints the home of a JDK of version 25 or newer, which Trino needs.
set -euo pipefail
for java in "${JAVA25_HOME:-/nowhere}/bin/java" /usr/lib/jvm/*/bin/java /opt/*/bin/java /opt/*/*/bin/java; do
  [ -x "$java" ] || continue
  major=$("$java" -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p')
  if [ "${major:-0}" -ge 25 ]; then
    dirname "$(dirname "$java")"
    exit 0
  fi
done
echo "no JDK 25 found: set JAVA25_HOME" >&2
exit 1
