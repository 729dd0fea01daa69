"""Asks a server something from inside its network namespace: probe.py QUESTION ARGUMENTS, both JSON but the first.

What cannot be reached yet is asked again for a while, since servers are asked as soon as they are started.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

PATIENCE_S = 30.0


def patiently(attempt: Callable[[], Any]) -> Any:
    """Try until there is a connection."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return attempt()
        except (ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def http(port: int, path: str, body: Any = None) -> dict[str, Any]:
    """Ask for a page, with a JSON body if there is one."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def attempt() -> dict[str, Any]:
        try:
            with opener.open(request, timeout=10) as answer:
                return {"status": answer.status, "text": answer.read().decode(errors="replace")}
        except urllib.error.HTTPError as error:
            with error:
                return {"status": error.code, "text": error.read().decode(errors="replace")}
        except urllib.error.URLError as error:
            raise ConnectionError(error.reason) from error

    return patiently(attempt)


def statuses(port: int, paths: list[str]) -> dict[str, int]:
    """Ask for pages and return the status of each."""
    return {path: http(port, path)["status"] for path in paths}


def lines(port: int, say: str) -> str:
    """Say lines of a text protocol and return all that is answered before the other side hangs up."""
    with patiently(lambda: socket.create_connection(("127.0.0.1", port), timeout=10)) as stream:
        stream.sendall(say.encode())
        return b"".join(iter(lambda: stream.recv(4096), b"")).decode()


def _database(port: int, password: str = "", **options: Any) -> Any:
    import pymysql  # only these questions need it

    options |= {"host": "127.0.0.1", "port": port, "charset": "utf8mb4", "autocommit": True}
    secret = password.encode()  # text would go as Latin-1

    def attempt() -> Any:
        try:
            return pymysql.connect(password=secret, **options)
        except pymysql.err.OperationalError as error:
            if "Can't connect" in str(error):
                raise ConnectionError from error
            raise

    return patiently(attempt)


def sql(port: int, statements: list[str], **options: Any) -> dict[str, Any]:
    """Log in, run statements, and return the rows of the last, or the error's number and text."""
    import pymysql

    try:
        with _database(port, **options) as database, database.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return {"rows": cursor.fetchall()}
    except pymysql.err.MySQLError as error:
        return {"error": error.args}


def commits(port: int, **options: Any) -> None:
    """Commit transactions of three rows until the server is gone, and print the number of each that it confirmed."""
    import pymysql

    with _database(port, **options) as database, database.cursor() as cursor:
        try:
            for number in range(1_000_000):
                database.begin()
                for part in "abc":
                    cursor.execute("insert into written values (%s, %s)", (number, part))
                database.commit()
                print(number, flush=True)
        except (pymysql.err.MySQLError, OSError):
            return


if __name__ == "__main__":
    question = {"http": http, "statuses": statuses, "lines": lines, "sql": sql, "commits": commits}[sys.argv[1]]
    print(json.dumps(question(**json.loads(sys.argv[2])), default=str))
