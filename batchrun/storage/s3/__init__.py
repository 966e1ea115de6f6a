"""S3 and stores like it: buckets for worker threads, objects read as files, and a lock that outlives no process."""

from batchrun.storage.s3.bucket import Bucket, Content, ObjectInfo
from batchrun.storage.s3.connection import Connection, S3Options
from batchrun.storage.s3.lock import BucketLock, is_held
from batchrun.storage.s3.problems import ConflictError, MissingError
from batchrun.storage.s3.reader import ObjectReader

__all__ = [
    "Bucket",
    "BucketLock",
    "ConflictError",
    "Connection",
    "Content",
    "MissingError",
    "ObjectInfo",
    "ObjectReader",
    "S3Options",
    "is_held",
]
