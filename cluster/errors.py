"""What can go wrong while running work.

    ClusterError
    +-- ClusterUnreachable    no Ray at the given address, or none can be started here
    +-- ClusterMismatch       a worker runs other code than the driver
    +-- JobRefused            a cluster does not take a job, or knows none of that name
    +-- NoCamera              the cluster cannot give what a camera needs

A clip that fails is not an exception here: it is a `JobFailed` event, and the night goes on.
"""


class ClusterError(Exception):
    """Root of all errors of this room."""


class ClusterUnreachable(ClusterError):
    """No Ray at the given address, or none can be started on this machine."""


class ClusterMismatch(ClusterError):
    """A worker runs other code than the driver; their pixels could differ."""


class JobRefused(ClusterError):
    """A cluster does not take a job, or knows none of that name."""


class NoCamera(ClusterError):
    """The cluster has no room for a single camera."""
