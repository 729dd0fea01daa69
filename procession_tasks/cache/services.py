"""What is asked of servers of the Remote Execution API, and what they answer.

Source: Remote Execution API 2.3, remote_execution.proto; google.bytestream, google.longrunning
and google.rpc for what it builds on.  Names and numbers are theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

from procession_tasks.cache import wire
from procession_tasks.cache.reapi import ActionResult, Any, Digest

SHA256 = 1  # DigestFunction.Value


@dataclass(frozen=True, slots=True)
class Status:
    """google.rpc.Status."""

    code: int = wire.integer(1)
    message: str = wire.string(2)
    details: tuple[Any, ...] = wire.messages(3, Any)


@dataclass(frozen=True, slots=True)
class GetActionResultRequest:
    """ActionCache.GetActionResult."""

    instance_name: str = wire.string(1)
    action_digest: Digest = wire.message(2, Digest)


@dataclass(frozen=True, slots=True)
class UpdateActionResultRequest:
    """ActionCache.UpdateActionResult."""

    instance_name: str = wire.string(1)
    action_digest: Digest = wire.message(2, Digest)
    action_result: ActionResult = wire.message(3, ActionResult)


@dataclass(frozen=True, slots=True)
class FindMissingBlobsRequest:
    """ContentAddressableStorage.FindMissingBlobs."""

    instance_name: str = wire.string(1)
    blob_digests: tuple[Digest, ...] = wire.messages(2, Digest)


@dataclass(frozen=True, slots=True)
class FindMissingBlobsResponse:
    """Its answer."""

    missing_blob_digests: tuple[Digest, ...] = wire.messages(2, Digest)


@dataclass(frozen=True, slots=True)
class UpdateBlob:
    """BatchUpdateBlobsRequest.Request."""

    digest: Digest = wire.message(1, Digest)
    data: bytes = wire.binary(2)


@dataclass(frozen=True, slots=True)
class BatchUpdateBlobsRequest:
    """ContentAddressableStorage.BatchUpdateBlobs."""

    instance_name: str = wire.string(1)
    requests: tuple[UpdateBlob, ...] = wire.messages(2, UpdateBlob)


@dataclass(frozen=True, slots=True)
class UpdatedBlob:
    """BatchUpdateBlobsResponse.Response."""

    digest: Digest | None = wire.message(1, Digest)
    status: Status | None = wire.message(2, Status)


@dataclass(frozen=True, slots=True)
class BatchUpdateBlobsResponse:
    """Its answer."""

    responses: tuple[UpdatedBlob, ...] = wire.messages(1, UpdatedBlob)


@dataclass(frozen=True, slots=True)
class BatchReadBlobsRequest:
    """ContentAddressableStorage.BatchReadBlobs."""

    instance_name: str = wire.string(1)
    digests: tuple[Digest, ...] = wire.messages(2, Digest)


@dataclass(frozen=True, slots=True)
class ReadBlob:
    """BatchReadBlobsResponse.Response."""

    digest: Digest | None = wire.message(1, Digest)
    data: bytes = wire.binary(2)
    status: Status | None = wire.message(3, Status)


@dataclass(frozen=True, slots=True)
class BatchReadBlobsResponse:
    """Its answer."""

    responses: tuple[ReadBlob, ...] = wire.messages(1, ReadBlob)


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """google.bytestream.ByteStream.Read."""

    resource_name: str = wire.string(1)
    read_offset: int = wire.integer(2)
    read_limit: int = wire.integer(3)


@dataclass(frozen=True, slots=True)
class ReadResponse:
    """A piece of its answer."""

    data: bytes = wire.binary(10)


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A piece of google.bytestream.ByteStream.Write."""

    resource_name: str = wire.string(1)
    write_offset: int = wire.integer(2)
    finish_write: bool = wire.boolean(3)
    data: bytes = wire.binary(10)


@dataclass(frozen=True, slots=True)
class WriteResponse:
    """Its answer."""

    committed_size: int = wire.integer(1)


@dataclass(frozen=True, slots=True)
class SemVer:
    """A version of the API."""

    major: int = wire.integer(1)
    minor: int = wire.integer(2)
    patch: int = wire.integer(3)


@dataclass(frozen=True, slots=True)
class GetCapabilitiesRequest:
    """Capabilities.GetCapabilities."""

    instance_name: str = wire.string(1)


@dataclass(frozen=True, slots=True)
class ActionCacheUpdateCapabilities:
    """Whether clients may write results."""

    update_enabled: bool = wire.boolean(1)


@dataclass(frozen=True, slots=True)
class CacheCapabilities:
    """What a server's cache can do."""

    digest_functions: tuple[int, ...] = wire.integers(1)
    action_cache_update_capabilities: ActionCacheUpdateCapabilities | None = wire.message(
        2, ActionCacheUpdateCapabilities
    )
    max_batch_total_size_bytes: int = wire.integer(4)


@dataclass(frozen=True, slots=True)
class ExecutionCapabilities:
    """What a server can execute."""

    digest_function: int = wire.integer(1)
    exec_enabled: bool = wire.boolean(2)
    digest_functions: tuple[int, ...] = wire.integers(5)


@dataclass(frozen=True, slots=True)
class ServerCapabilities:
    """What a server can do, and which versions of the API it speaks."""

    cache_capabilities: CacheCapabilities | None = wire.message(1, CacheCapabilities)
    execution_capabilities: ExecutionCapabilities | None = wire.message(2, ExecutionCapabilities)
    deprecated_api_version: SemVer | None = wire.message(3, SemVer)
    low_api_version: SemVer | None = wire.message(4, SemVer)
    high_api_version: SemVer | None = wire.message(5, SemVer)


@dataclass(frozen=True, slots=True)
class ExecuteRequest:
    """Execution.Execute."""

    instance_name: str = wire.string(1)
    skip_cache_lookup: bool = wire.boolean(3)
    action_digest: Digest = wire.message(6, Digest)


@dataclass(frozen=True, slots=True)
class WaitExecutionRequest:
    """Execution.WaitExecution."""

    name: str = wire.string(1)


@dataclass(frozen=True, slots=True)
class Operation:
    """google.longrunning.Operation: how far an execution is."""

    name: str = wire.string(1)
    metadata: Any | None = wire.message(2, Any)
    done: bool = wire.boolean(3)
    error: Status | None = wire.message(4, Status)
    response: Any | None = wire.message(5, Any)


@dataclass(frozen=True, slots=True)
class ExecuteOperationMetadata:
    """The stage of an execution: 1 cache check, 2 queued, 3 executing, 4 completed."""

    stage: int = wire.integer(1)
    action_digest: Digest | None = wire.message(2, Digest)


@dataclass(frozen=True, slots=True)
class ExecuteResponse:
    """How an execution ended."""

    result: ActionResult | None = wire.message(1, ActionResult)
    cached_result: bool = wire.boolean(2)
    status: Status | None = wire.message(3, Status)
    message: str = wire.string(5)
