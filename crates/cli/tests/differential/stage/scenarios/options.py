"""The table of all socket options, each a scenario of its own."""

import stage


def register(kind):
    def tell(t):
        t.tables = t.a.options(kind)
    stage.REGISTRY.append((kind, tell, 4, False))


for kind in ("tcp4", "tcp6", "udp4", "udp6", "raw4", "raw6", "ping4", "ping6"):
    register(kind)
