"""The limits of groups and services. The hub and the reader of declarations use the same limits."""

from __future__ import annotations

MEMBERS_MAX = 1000  # the maximum number of members of one group
MEMBERS_OF_HOST = 1000  # the maximum number of members of all scripts of one host, in all groups
SERVICES_MAX = 1000  # the maximum number of services of one member, with its gates
SERVICES_OF_HOST = 20_000  # the maximum number of services of all members of one host
ID_MAX = 10**9  # the largest id of a service
RETRIES_MAX = 10**6  # the maximum number of retries of a round
BACKOFF_MAX = 60.0  # seconds: the longest delay before a retry
VERSION_CHARS = 64  # the maximum length of a version; short, because each announcement contains it, also on a slow line
POLICIES = ("retry", "exclude", "stop")
"""The reactions to a failed step."""
