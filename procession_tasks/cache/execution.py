"""Actions executed by an engine elsewhere, and what is done when it falters.

Source: Remote Execution API 2.3, Execution; google.longrunning.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping

from procession_tasks import interruption
from procession_tasks.cache import capabilities, services, wire
from procession_tasks.cache.action import Keyed
from procession_tasks.cache.grpc_cache import GrpcCache
from procession_tasks.cache.reapi import PACKAGE, ActionResult, Digest
from procession_tasks.cache.remote import Blob, RemoteError
from procession_tasks.cache.services import ExecuteResponse, Operation
from procession_tasks.cache.settings import Endpoint
from procession_tasks.cache.status import StatusError, code_name, failure

_EXECUTION = f"{PACKAGE}.Execution"
# Servers differ in how they say that an input is missing.
_MISSING_INPUT = ("FAILED_PRECONDITION", "NOT_FOUND", "INTERNAL")
_ATTEMPTS = 3
_WAIT_S = 0.5  # before the second attempt, and doubled before the third
_LOOK_S = 0.1
_LONGEST_S = 900.0  # for one action, with the time that it waits for a worker
_MOST_SAID = 1024 * 1024


class FailedActionError(Exception):
    """An action ran and failed, as it would here: `exit_code`, and what it printed."""

    def __init__(self, name: str, exit_code: int, stdout: bytes, stderr: bytes) -> None:
        said = (stderr or stdout).decode("utf-8", "replace").strip()
        super().__init__(f"{name}: {said or f'exit status {exit_code}'}")
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class Engine:
    """An engine of the Remote Execution API, with its `cache` of results and blobs."""

    def __init__(self, endpoint: Endpoint, longest_s: float = _LONGEST_S, *, takes_known: bool = True) -> None:
        """Raise BuildError as `Channel`; nothing is asked of the server yet.

        `takes_known` tells whether results that the engine already has are taken.
        """
        self.name = endpoint.name
        self.cache = GrpcCache(endpoint)
        self._longest_s = longest_s
        self._takes_known = takes_known

    def execute(self, action: Keyed, blobs: Mapping[Digest, Blob | bytes]) -> ActionResult:
        """Return what an action makes, which is executed unless the engine knows that.

        `blobs` is what the input root has besides the action's own.  Raises FailedActionError when the
        action itself fails, and RemoteError for all else: whoever gets that does the work here.
        """
        capabilities.check_engine(self.cache.capabilities())
        known = self.cache.result(action.key) if self._takes_known else None
        if known is not None and known.exit_code == 0 and not _lacking(action, known):
            return known
        needed = [_blob(digest, content) for digest, content in {**blobs, **action.blobs}.items()]
        self.cache.send(needed)
        try:
            response = self._answered(action)
        except StatusError as error:
            if error.code not in _MISSING_INPUT:
                raise
            self.cache.send(needed)
            response = self._answered(action)
        return self._judged(action, response)

    def close(self) -> None:
        """Let go of connections."""
        self.cache.close()

    def _answered(self, action: Keyed) -> ExecuteResponse:
        """Have an action executed; raises StatusError for an engine that did not do it."""
        response = self._persistently(action.key)
        code = code_name(response.status.code) if response.status else "OK"
        if code == "DEADLINE_EXCEEDED":
            raise StatusError(code, "the action took longer than it may")
        if code != "OK":
            raise failure(code)
        return response

    def _persistently(self, key: Digest) -> ExecuteResponse:
        """Wait for an execution again when the connection breaks; begin it again when the engine forgot it."""
        operation = ""
        for attempt in range(_ATTEMPTS):
            try:
                for found in self._operations(key, operation):
                    operation = found.name or operation
                    if found.done:
                        return _response(found)
                broken = failure("UNAVAILABLE", "closed")
            except StatusError as error:
                forgotten = operation and error.code in ("NOT_FOUND", "UNIMPLEMENTED")
                if error.code != "UNAVAILABLE" and not forgotten:
                    raise
                operation = "" if forgotten else operation
                broken = error
            if attempt + 1 < _ATTEMPTS:
                _pause(_WAIT_S * 2**attempt)
        raise broken

    def _operations(self, key: Digest, operation: str) -> Iterator[Operation]:
        """Follow a new execution, or one that has begun, for as long as the engine tells of it."""
        request: services.ExecuteRequest | services.WaitExecutionRequest
        if operation:
            method, request = "WaitExecution", services.WaitExecutionRequest(operation)
        else:
            method, request = "Execute", services.ExecuteRequest(self.cache.instance, not self._takes_known, key)
        channel = self.cache.channel
        with channel.listen(f"{_EXECUTION}/{method}", request, Operation, most=self._longest_s) as told:
            yield from told

    def _judged(self, action: Keyed, response: ExecuteResponse) -> ActionResult:
        result = response.result
        if result is None:
            raise RemoteError("executed an action without a result")
        if result.exit_code != 0:
            stdout = self._printed(result.stdout_raw, result.stdout_digest)
            stderr = self._printed(result.stderr_raw, result.stderr_digest)
            raise FailedActionError(action.name, result.exit_code, stdout, stderr)
        if lacking := _lacking(action, result):
            raise RemoteError(f"executed an action that did not make {lacking[0]}")
        return result

    def _printed(self, raw: bytes, digest: Digest | None) -> bytes:
        """Return what an action printed, which an engine may keep as a blob."""
        if raw or digest is None or digest.size_bytes > _MOST_SAID:
            return raw
        return self.cache.read(digest)


def _blob(digest: Digest, content: Blob | bytes) -> Blob:
    return Blob(digest, content) if isinstance(content, bytes) else content


def _lacking(action: Keyed, result: ActionResult) -> list[str]:
    """List the outputs that a result does not have."""
    made = {one.path for one in result.output_files} | {one.path for one in result.output_directories}
    made |= {one.path for one in result.output_symlinks}
    return [path for path in action.outputs if path not in made]


def _response(operation: Operation) -> ExecuteResponse:
    if operation.error is not None and operation.error.code:
        raise failure(code_name(operation.error.code))
    if operation.response is None:
        raise RemoteError("ended an execution without a word")
    try:
        return wire.decode(ExecuteResponse, operation.response.value)
    except ValueError:
        raise RemoteError("its answer makes no sense") from None


def _pause(length: float) -> None:
    """Wait about so long, so that not all who were cut off come back at once."""
    end = time.monotonic() + length * random.uniform(0.5, 1.5)  # noqa: S311  # nothing to guess
    while (left := end - time.monotonic()) > 0:
        interruption.check()
        time.sleep(min(left, _LOOK_S))
