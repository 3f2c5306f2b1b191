"""Several processes that are one daemon: a parent that holds the ports, and children that serve.

Each child has a listening socket of its own for each port (SO_REUSEPORT), so that the kernel spreads connections evenly; the parent keeps
them open, so that what waits in a socket of a child that died is served by its successor. Between them are pipes: to a child what
it is to do, from it its figures, its health and its log. A child whose pipe ends has lost its parent, and stops.
"""
