#!/usr/bin/python3
# ruff: noqa: T201
"""Asks for an object again and again, with several connections of one request each, until a file is there; prints how often, and how
often in vain."""

import http.client
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Ask for the path of the command line; every answer but 200 and every failure is lost."""
    port, path, clients, end = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    over = threading.Event()
    answers: list[str] = []

    def ask() -> None:
        while not over.is_set():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("GET", path, headers={"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                answers.append(str(answer.status))
                connection.close()
            except (OSError, http.client.HTTPException) as problem:
                answers.append(repr(problem))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    print("asking", flush=True)
    while not end.exists():
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join()
    lost = [one for one in answers if one != "200"]
    print(len(answers), len(lost), *sorted(set(lost)))


if __name__ == "__main__":
    main()
