"""The known attacks, mounted on one's own app: in this process or on 127.0.0.1, bounded in requests and time."""
