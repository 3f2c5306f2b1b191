"""Who is asking, as this room's authenticators tell it."""

from __future__ import annotations

from attrs import field, frozen
from zope.interface import implementer

from alluxio_s3.interfaces import IMember, IPrincipal, ISigner
from alluxio_s3.s3.sigv4 import Signature

ANONYMOUS = "anonymous"


@implementer(IPrincipal, IMember, ISigner)
@frozen
class Principal:
    """See ``IPrincipal``, ``IMember``, ``ISigner``."""

    name: str
    how: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    signature: Signature | None = field(default=None, repr=False)
