"""Who owns the database file, and how a command reaches the server that does.

DuckDB lets one process open a file. A server leaves `<database>.owner` beside it: its process id, the
address of its API and a secret that only the file's owner can read. A command that finds the database
in use sends itself there. A lake has no owner: every process opens it itself.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitoring.configuration import Configuration
from storage.errors import DriftmapError
from storage.lake import is_lake

SECRET_HEADER = "X-Driftmap-Secret"


@dataclass(frozen=True)
class Owner:
    """The server that owns a database. `address` is its API's, on this machine."""

    pid: int
    address: str
    secret: str


def owner_file(location: str) -> Path:
    return Path(f"{location}.owner")


@contextmanager
def owning(location: str, address: str) -> Iterator[Owner | None]:
    """Announce that this process owns the database `location` and answers commands at `address`.

    None for a lake, which nobody owns.
    """
    if is_lake(location):
        yield None
        return
    owner = Owner(os.getpid(), address, secrets.token_urlsafe(32))
    path = owner_file(location)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(owner), file)
    try:
        yield owner
    finally:
        path.unlink(missing_ok=True)


def current_owner(location: str) -> Owner | None:
    """The live server that owns the database `location`; None where there is none that we may reach."""
    try:
        owner = Owner(**json.loads(owner_file(location).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return owner if _alive(owner.pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def pack(configuration: Configuration, arguments: dict[str, Any]) -> dict[str, Any]:
    """What travels to the server: the arguments, and the caller's configuration without the API's token."""
    return {
        "folder": str(configuration.folder.resolve()),
        "configuration": configuration.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"api_token"}
        ),
        "arguments": arguments,
    }


def unpack(body: dict[str, Any]) -> tuple[Configuration, dict[str, Any]]:
    """The configuration and the arguments that `pack` packed."""
    configuration = Configuration.model_validate({**body["configuration"], "folder": body["folder"]})
    return configuration, body["arguments"]


def send(owner: Owner, command: str, configuration: Configuration, arguments: dict[str, Any]) -> Any:
    """What the command answers, carried out by the server `owner`.

    Raises DriftmapError with the server's own line where the command fails.
    """
    import httpx

    try:
        answer = httpx.post(
            f"{owner.address}/local/commands/{command}",
            json=pack(configuration, arguments),
            headers={SECRET_HEADER: owner.secret},
            timeout=httpx.Timeout(10.0, read=None, write=None),
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise DriftmapError(
            f"The server that owns the database (process {owner.pid}, {owner.address}) did not answer: "
            f"{error or type(error).__name__}. Stop it, or try again."
        ) from error
    body = _json(answer)
    if answer.status_code != 200:
        raise DriftmapError(str(body.get("error", f"The server answered {answer.status_code}.")))
    return body["result"]


def _json(answer: Any) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
