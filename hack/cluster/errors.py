"""What can go wrong, by what the caller can do about it.

ClusterError        something failed; the message says what, exit status 1
└── Unsupported     this machine cannot carry the cluster at all, exit status 4
"""


class ClusterError(Exception):
    """A step failed; the text is one line that a person can act on."""

    exit_status = 1


class Unsupported(ClusterError):
    """The machine lacks what the cluster needs; trying again is useless."""

    exit_status = 4
