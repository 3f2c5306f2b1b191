"""HDFS as an under-store, through WebHDFS: the HTTP interface that every NameNode and DataNode has."""
