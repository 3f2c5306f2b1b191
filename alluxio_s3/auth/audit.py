"""AUDIT: serves as SIMPLE does, and tells who would not get in under SIGV4, and why: the way from one to the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import cast

from attrs import define, evolve, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.auth.principals import ANONYMOUS, Principal
from alluxio_s3.auth.sigv4 import SigV4Authenticator, SigV4Factory
from alluxio_s3.auth.simple import SimpleAuthenticator, SimpleFactory
from alluxio_s3.interfaces import (
    IAuthenticator,
    IFormAuthenticator,
    IKeyed,
    IMeasured,
    IMetrics,
    IPluginFactory,
    IPrincipal,
    IQuickAuthenticator,
    ISharedTexts,
    ITally,
)
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.form_credentials import SignedForm
from alluxio_s3.s3.payload import signs_chunks
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.threads import Threads

TELL_EVERY_SECONDS = 60.0
# So many users are told of by name between two reports.
MAX_NAMED = 1000
# So many users and outcomes have a figure of their own; the others share one for each outcome.
MAX_COUNTED = 200
OTHERS = "(others)"


@implementer(IAuthenticator, IFormAuthenticator, IKeyed, IQuickAuthenticator, IMeasured)
@define
class AuditAuthenticator:
    """Takes users at their word, and keeps account of those whose word would not do. ``failed`` counts them by user and reason."""

    simple: SimpleAuthenticator
    strict: SigV4Authenticator
    clock: IReactorTime
    failed: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    _pending: Counter[tuple[str, str]] = field(factory=Counter, init=False)
    _told_at: float | None = field(default=None, init=False)
    _outcomes: Callable[..., ITally] | None = field(default=None, init=False)
    _tallies: dict[tuple[str, str], ITally] = field(factory=dict, init=False)
    _log = Logger()

    def follow(self, texts: ISharedTexts) -> None:
        """See ``IKeyed``."""
        self.strict.follow(texts)

    def identify(self, authorization: bytes | None, method: str, raw_target: bytes, headers: Mapping[bytes, bytes]) -> IPrincipal | None:
        """See ``IQuickAuthenticator``. Whoever would not get in goes the way on which that is counted."""
        principal = self.simple.identify(authorization, method, raw_target, headers)
        verified = self.strict.identify(authorization, method, raw_target, headers)
        if principal is None or verified is None or verified.how == ANONYMOUS or verified.name != principal.name:
            return None
        self._count(principal.name, "Verified")
        return principal

    def measure(self, metrics: IMetrics) -> None:
        """See ``IMeasured``."""
        self._outcomes = metrics.counters(
            "alluxio_s3_audit_requests_total",
            "Requests under AUDIT, by the user they name and what SIGV4 says: `Verified`, `NoCredentials`, `AnotherUser`, or S3's code.",
            ("user", "outcome"),
        )

    async def authenticate(self, head: RequestHead) -> IPrincipal:
        """See ``IAuthenticator``. Raises what SIMPLE raises."""
        return await self._compare(await self.simple.authenticate(head), self.strict.authenticate(head), chunks=signs_chunks(head.headers))

    async def authenticate_form(self, form: SignedForm) -> IPrincipal:
        """See ``IFormAuthenticator``."""
        return await self._compare(await self.simple.authenticate_form(form), self.strict.authenticate_form(form), chunks=False)

    async def _compare(self, principal: IPrincipal, verifying: Awaitable[Principal], *, chunks: bool) -> IPrincipal:
        try:
            verified = await verifying
        except S3Error as error:
            self._note(principal.name, error.code, error.code)
            return principal
        if verified.how == ANONYMOUS:
            self._note(principal.name, "NoCredentials", "NoCredentials")
        elif verified.name != principal.name:
            self._note(principal.name, f"verified, and would be {verified.name}", "AnotherUser")
        elif chunks and verified.signature is not None:
            # What there is to say of it is known when its last chunk has come.
            told = partial(self._judge, principal.name)
            return Principal(principal.name, principal.how, signature=evolve(verified.signature, told=told))
        else:
            self._count(principal.name, "Verified")
        return principal

    def _judge(self, user: str, problem: S3Error | None) -> None:
        """The body of a request of ``user`` has ended: its chunks were as they were signed, or not."""
        if problem is None:
            self._count(user, "Verified")
        else:
            self._note(user, f"{problem.code} of a chunk or trailer", problem.code)

    def _count(self, user: str, outcome: str) -> None:
        if self._outcomes is None:
            return
        tally = self._tallies.get((user, outcome))
        if tally is None:
            # Anybody may name any user: figures for each must not become too many.
            shown = user if len(self._tallies) < MAX_COUNTED else OTHERS
            tally = self._outcomes(shown, outcome)
            if shown == user:
                self._tallies[user, outcome] = tally
        tally.add()

    def _note(self, user: str, reason: str, outcome: str) -> None:
        self._count(user, outcome)
        if len(self.failed) < MAX_NAMED or (user, reason) in self.failed:
            self.failed[user, reason] += 1
            self._pending[user, reason] += 1
        now = self.clock.seconds()
        if self._told_at is None or not self._told_at <= now < self._told_at + TELL_EVERY_SECONDS:
            self._told_at = now
            for (name, why), count in sorted(self._pending.items()):
                self._log.warn("Under SIGV4, {user}: {reason} ({count} requests)", user=name, reason=why, count=count)
            self._pending.clear()


@implementer(IPluginFactory)
class AuditFactory:
    """Builds the authenticator. Options: those of SIMPLE and of SIGV4."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> AuditAuthenticator:
        """See ``IPluginFactory``."""
        simple = SimpleFactory().build(options, reactor, threads)
        return AuditAuthenticator(simple, SigV4Factory().build(options, reactor, threads), cast("IReactorTime", reactor))
