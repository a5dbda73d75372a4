"""A real single-node Kubernetes for the tests, without Docker and without a registry.

`python -m hack.cluster up` builds the programs from the pinned Go modules beside this file, starts them in a
network, mount and cgroup room of their own, and writes a kubeconfig that works from outside that room.
`python -m hack.cluster down` ends all of it. Nothing outside the room is changed but one veth device.
Start reading at `up.py`; every other module is one part of the node.
"""
