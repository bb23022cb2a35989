import random
import socket


def free_port() -> int:
    """A loopback port that stays ours over a restart: below 32768, where systems begin to hand out their own."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("100 ports in 20000-32000 were all taken")
