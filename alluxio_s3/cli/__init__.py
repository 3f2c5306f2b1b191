"""The command line of an operator: ``alluxio-s3``. Each group of commands is a module, which ``main`` puts together."""
