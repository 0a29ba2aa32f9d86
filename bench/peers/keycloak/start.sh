#!/usr/bin/env bash
# Starts Keycloak on 127.0.0.1:$PORT; `scripts/tools.sh bench-keycloak` installs
# it. Its home is DATA with the program linked in, so that nothing is written
# beside the program.
# Token endpoint: POST /realms/bench/protocol/openid-connect/token with
# scope=door:open.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(cd "$here/../../.." && pwd)/.tools/keycloak

: "${CLIENT_ID:?}" "${CLIENT_SECRET:?}" # realm.json names them
mkdir -p "$DATA/data/import"
cp "$here/realm.json" "$DATA/data/import/"
ln -s "$program"/{conf,lib,providers,themes} "$DATA/"

# bin/kc.sh would stay as the JVM's parent. The options are its own, but for
# the heap.
options=(
  -Xms1g -Xmx1g
  -XX:MetaspaceSize=96M -XX:MaxMetaspaceSize=256m
  -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -XX:FlightRecorderOptions=stackdepth=512
  -Dfile.encoding=UTF-8 -Duser.language=en -Duser.country=US
  -Djava.security.egd=file:/dev/urandom
  -Djdk.tls.rejectClientInitiatedRenegotiation=true
  --add-opens=java.base/java.util=ALL-UNNAMED
  --add-opens=java.base/java.util.concurrent=ALL-UNNAMED
  --add-opens=java.base/java.security=ALL-UNNAMED
  --add-opens=java.base/java.lang=ALL-UNNAMED
  --enable-native-access=ALL-UNNAMED
  -Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory
  -Djava.util.logging.manager=org.jboss.logmanager.LogManager
  -Djboss.server.config.dir="$program/conf"
  -Dkc.home.dir="$DATA"
  -Dpicocli.disable.closures=true
  -Dquarkus-log-max-startup-records=10000
)
exec "${JAVA_HOME:+$JAVA_HOME/bin/}java" "${options[@]}" -cp "$program/lib/quarkus-run.jar" io.quarkus.bootstrap.runner.QuarkusEntryPoint \
  --config-file="$here/keycloak.conf" start --optimized --import-realm \
  --hostname="https://localhost:$PORT" --https-port="$PORT" \
  --https-certificate-file="$TLS_CERT" --https-certificate-key-file="$TLS_KEY"
