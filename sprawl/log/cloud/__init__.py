"""Object stores: where the cloud tier keeps its segments.

In: keys and bytes. Out: the same bytes, or one of the errors that ``objects.py`` names. Invariants:
only ``s3.py`` imports minio, and only the worker process imports ``s3.py``; every call has a
deadline; no key of an account is in a log line or an error. Layer: a part of the log.
Source: docs/dependencies.md; hazards of S3 in docs/guarantees.md.
"""
