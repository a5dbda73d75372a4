"""One veth pair between the machine and the node's network: the only thing that the cluster adds outside its room.

The machine's end carries an address so that kubectl works from outside; no forwarding and no address translation
is set up on the machine, so Pods reach each other, the node and services, but not the Internet. Packets to
elsewhere are refused at once by a rule inside the room: a Pod that tries fails fast and does not hang.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from hack.cluster import room
from hack.cluster.commands import run, succeeds
from hack.cluster.errors import ClusterError
from hack.cluster.layout import Layout

INSIDE = "uplink"
REFUSE_ELSEWHERE = """
table inet kubetuna
delete table inet kubetuna
table inet kubetuna {{
  chain output {{ type filter hook output priority 10; oifname "{device}" ip daddr != {outside} reject; }}
  chain forward {{ type filter hook forward priority 10; oifname "{device}" ip daddr != {outside} reject; }}
}}
"""


def connect(layout: Layout) -> None:
    """Join the room to the machine unless it is joined."""
    if not _is_connected(layout):
        disconnect(layout)
        _require_free_subnet(layout)
        _make_pair(layout)
    rules = REFUSE_ELSEWHERE.format(device=INSIDE, outside=layout.outside_address)
    room.run_inside(layout, ["nft", "-f", "-"], stdin=rules)


def _is_connected(layout: Layout) -> bool:
    inside = [*room.entry(layout), "ip", "link", "show", INSIDE]
    return succeeds(["ip", "link", "show", layout.veth]) and succeeds(inside)


def _make_pair(layout: Layout) -> None:
    holder = str(room.holder_pid(layout))
    run(["ip", "link", "add", layout.veth, "type", "veth", "peer", "name", INSIDE, "netns", holder])
    run(["ip", "address", "add", f"{layout.outside_address}/30", "dev", layout.veth])
    run(["ip", "link", "set", layout.veth, "up"])
    for command in (
        "link set lo up",
        f"address add {layout.node_address}/30 dev {INSIDE}",
        f"link set {INSIDE} up",
        f"route replace default via {layout.outside_address}",
    ):
        room.run_inside(layout, ["ip", *command.split()])
    # IPv6 stays off: the cluster is IPv4 only, and its neighbours would be announced outside.
    room.run_inside(layout, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def _require_free_subnet(layout: Layout) -> None:
    """Refuse to shadow a network that the machine already reaches in another way."""
    ours = ipaddress.ip_network(f"{layout.node_address}/30", strict=False)
    routes: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-4", "route"]) or "[]")
    for route in routes:
        target = route.get("dst", "default")
        if target != "default" and ipaddress.ip_network(target, strict=False).overlaps(ours):
            raise ClusterError(f"the network {ours} is in use here; set KUBETUNA_CLUSTER_DIR to another folder")


def disconnect(layout: Layout) -> bool:
    """Remove the pair; return whether there was one."""
    return succeeds(["ip", "link", "delete", layout.veth])


def leftovers(layout: Layout) -> list[str]:
    return [f"device {layout.veth}"] if succeeds(["ip", "link", "show", layout.veth]) else []
