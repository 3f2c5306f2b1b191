"""Who is asking, as this room's authenticators tell it."""

from __future__ import annotations

from attrs import evolve, field, frozen
from zope.interface import implementer

from alluxio_s3.interfaces import IExpiring, IMember, IPrincipal, ISigner
from alluxio_s3.s3.sigv4 import Signature

ANONYMOUS = "anonymous"


@implementer(IPrincipal, IMember, ISigner, IExpiring)
@frozen
class Principal:
    """See ``IPrincipal``, ``IMember``, ``ISigner``, ``IExpiring``. Until when it is known makes it no other."""

    name: str
    how: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    signature: Signature | None = field(default=None, repr=False)
    expires_at: float | None = field(default=None, eq=False)

    def until(self, moment: float | None) -> Principal:
        """The same, known no longer than to that moment, if there is one."""
        return self if moment is None else evolve(self, expires_at=moment if self.expires_at is None else min(moment, self.expires_at))
