"""The identity that goes with a redirect."""

from __future__ import annotations

import string

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from alluxio_s3.auth.principals import Principal
from alluxio_s3.auth.simple import SimpleAuthenticator
from alluxio_s3.cluster.hops import HOP, LIFE_SECONDS, MAX_TOKEN, SAME_SECONDS, SKEW_SECONDS, Hop, HopAuthenticator, HopTokens
from alluxio_s3.interfaces import IAuthenticator, IPrincipal, IQuickAuthenticator, ITokenExchange
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import Query, Target, parse_target
from tests.cluster.fixed_members import SECRET
from tests.wire import authorization

ALICE = Principal("alice", "oidc", frozenset({"staff"}), frozenset({"reader"}))
TARGET = Target("b", "dir/k é", Query((("response-content-type", "a/b"),)))


@pytest.fixture
def clock() -> Clock:
    """A wall clock at some time."""
    clock = Clock()
    clock.advance(1_800_000_000)
    return clock


@pytest.fixture
def tokens(clock: Clock) -> HopTokens:
    """The tokens of the members."""
    return HopTokens(lambda: SECRET, clock)


def issued(tokens: HopTokens, target: Target = TARGET) -> str:
    """A token of Alice's."""
    token = tokens.issue(ALICE, target, "worker-1", "client")
    assert token is not None
    return token


def refused(tokens: HopTokens, token: str, method: str = "GET", target: Target = TARGET) -> bool:
    """Whether it is refused as it should be."""
    try:
        tokens.read(token, method, target)
    except S3Error as error:
        return error.code == "AccessDenied"
    return False


def test_lives_no_longer_than_what_the_client_is_known_by(tokens: HopTokens, clock: Clock) -> None:
    """A token of one whose credential ends is good till then and no longer; of one whose credential ends now there is none."""
    brief = tokens.issue(ALICE.until(clock.seconds() + 60), TARGET, "worker-1")
    assert brief is not None
    assert tokens.issue(ALICE.until(clock.seconds() + 1), TARGET, "worker-1") is None
    long = tokens.issue(ALICE.until(clock.seconds() + 10_000), TARGET, "worker-1")
    assert long is not None
    clock.advance(59)
    assert not refused(tokens, brief)
    clock.advance(2)
    assert refused(tokens, brief)
    clock.advance(LIFE_SECONDS - 62)
    assert not refused(tokens, long)
    clock.advance(SKEW_SECONDS + 2)
    assert refused(tokens, long)


def test_no_clock_makes_a_credential_last(clock: Clock) -> None:
    """What a client is known by ends when the owner's own clock says so, however far behind that of the worker that redirected is."""
    here, there = Clock(), Clock()
    here.advance(clock.seconds() - SKEW_SECONDS + 5)
    there.advance(clock.seconds())
    token = HopTokens(lambda: SECRET, here).issue(ALICE.until(there.seconds() + 60), TARGET, "worker-1")
    assert token is not None
    owner = HopTokens(lambda: SECRET, there)
    there.advance(59)
    assert not refused(owner, token)
    there.advance(2)
    assert refused(owner, token)


@given(st.floats(-SKEW_SECONDS + 2, SKEW_SECONDS - 2))
def test_clocks_may_differ(seconds: float) -> None:
    """A token is good at once, and for its life, at an owner whose clock is up to 15 minutes ahead or behind."""
    here, there = Clock(), Clock()
    here.advance(1_800_000_000)
    there.advance(1_800_000_000 + seconds)
    token = issued(HopTokens(lambda: SECRET, here))
    owner = HopTokens(lambda: SECRET, there)
    assert not refused(owner, token)
    there.advance(LIFE_SECONDS)
    assert not refused(owner, token)
    there.advance(2 * SKEW_SECONDS)
    assert refused(owner, token)


def test_says_who_asked(tokens: HopTokens) -> None:
    """What a token says is who was redirected, groups, roles and all, and by whom."""
    hop = tokens.read(issued(tokens), "GET", TARGET)
    assert (hop.guest.name, hop.guest.how) == ("alice", "oidc")
    assert (hop.guest.groups, hop.guest.roles) == (ALICE.groups, ALICE.roles)
    assert (hop.issuer, hop.client) == ("worker-1", "client")
    assert tokens.read(issued(tokens), "HEAD", TARGET) == hop


def test_has_only_characters_that_stay(tokens: HopTokens) -> None:
    """A token is made of characters that no client encodes (RFC 3986, 2.3)."""
    assert set(issued(tokens)) <= set(string.ascii_letters + string.digits + "-_.~")


def test_is_good_for_one_object(tokens: HopTokens) -> None:
    """Another object, another query and another method are refused; the same query after a client encoded it anew is not."""
    token = issued(tokens)
    assert refused(tokens, token, "PUT")
    assert refused(tokens, token, "DELETE")
    assert refused(tokens, token, target=Target("b", "other", TARGET.query))
    assert refused(tokens, token, target=Target("c", TARGET.key, TARGET.query))
    assert refused(tokens, token, target=Target("b", TARGET.key))
    assert refused(tokens, token, target=Target("b", TARGET.key, Query((*TARGET.query.pairs, ("acl", "")))))
    with_token = parse_target(f"/b/dir%2Fk%20%C3%A9?response-content-type=a%2Fb&{HOP}={token}".encode())
    assert tokens.read(token, "GET", with_token).guest.name == "alice"


def test_expires(tokens: HopTokens, clock: Clock) -> None:
    """It is good for as long as clients try again, and by how much clocks may differ, and not longer."""
    token = issued(tokens)
    clock.advance(LIFE_SECONDS + SKEW_SECONDS - 1)
    assert not refused(tokens, token)
    clock.advance(3)
    assert refused(tokens, token)


def test_is_of_no_time_to_come(tokens: HopTokens, clock: Clock) -> None:
    """A token that says that it was made more than 15 minutes from now is refused."""
    ahead = Clock()
    ahead.advance(clock.seconds() + SKEW_SECONDS + SAME_SECONDS + 5)
    assert refused(tokens, issued(HopTokens(lambda: SECRET, ahead)))


def test_is_only_the_members(tokens: HopTokens, clock: Clock) -> None:
    """What was made with another secret is refused."""
    assert refused(tokens, issued(HopTokens(lambda: b"x" * 32, clock)))


@given(st.data())
def test_any_change_is_refused(data: st.DataObject) -> None:
    """A token of which one character is another is refused, and so is any text."""
    clock = Clock()
    tokens = HopTokens(lambda: SECRET, clock)
    token = issued(tokens)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda one: one != token[at]))
    # The last character of base64 has bits that say nothing.
    if at != len(token) - 1:
        assert refused(tokens, token[:at] + other + token[at + 1 :])
    assert refused(tokens, data.draw(st.text()))


def test_too_many_groups_are_not_redirected(tokens: HopTokens) -> None:
    """Who belongs to so many groups that the URL would be too long gets no token."""
    crowd = Principal("alice", "oidc", frozenset(f"a-group-with-a-long-name-{n}" for n in range(200)))
    assert tokens.issue(crowd, TARGET, "worker-1") is None
    assert len(issued(tokens)) < MAX_TOKEN / 4


def head(raw: bytes, method: str = "GET", **headers: str) -> RequestHead:
    """A request."""
    return RequestHead(method, parse_target(raw), Headers(headers), raw)


@pytest_twisted.ensureDeferred
async def test_comes_before_authorization(tokens: HopTokens, clock: Clock) -> None:
    """A token says who asks, whatever Authorization or its absence would say; without one the authenticator does."""
    seen: list[Hop] = []
    authenticator = HopAuthenticator(SimpleAuthenticator("daemon", clock), tokens, seen.append)
    plain = parse_target(b"/b/k")
    token = issued(tokens, plain)
    raw = f"/b/k?{HOP}={token}".encode()
    assert (await authenticator.authenticate(head(raw))).name == "alice"
    stale = authorization("bob")
    assert (await authenticator.authenticate(head(raw, authorization=stale))).name == "alice"
    assert [one.client for one in seen] == ["client", "client"]
    assert (await authenticator.authenticate(head(b"/b/k", authorization=stale))).name == "bob"


@pytest_twisted.ensureDeferred
async def test_wrong_tokens_are_refused(tokens: HopTokens, clock: Clock) -> None:
    """Nobody comes in by other means with a token that is no good, nor with two."""
    authenticator = HopAuthenticator(SimpleAuthenticator("daemon", clock), tokens)
    token = issued(tokens, parse_target(b"/b/k"))
    for raw in (f"/b/k?{HOP}=", f"/b/k?{HOP}", f"/b/other?{HOP}={token}", f"/b/k?{HOP}={token}&{HOP}={token}"):
        with pytest.raises(S3Error) as caught:
            await authenticator.authenticate(head(raw.encode()))
        assert caught.value.status == 403
    with pytest.raises(S3Error):
        await authenticator.authenticate(head(f"/b/k?{HOP}={token}".encode(), "PUT"))


@given(
    token=st.sampled_from(("good", "bad", "of another", "old", "ahead", "encoded", "twice", "empty", "cut", "%zz")),
    more=st.sampled_from(("", "&x-id=GetObject", "&acl", "&=")),
    named=st.booleans(),
    method=st.sampled_from(("GET", "HEAD", "PUT")),
)
@pytest_twisted.ensureDeferred
async def test_the_quick_way_lets_in_the_same(token: str, more: str, named: bool, method: str) -> None:
    """Whoever is identified at once is whom ``authenticate`` returns; whoever it refuses is never identified. A good token is."""
    clock, old, ahead = Clock(), Clock(), Clock()
    for one, seconds in ((clock, 0), (old, -LIFE_SECONDS - SKEW_SECONDS - 2), (ahead, SKEW_SECONDS + SAME_SECONDS + 5)):
        one.advance(1_800_000_000 + seconds)
    tokens = HopTokens(lambda: SECRET, clock)
    target = parse_target(f"/b/k?{more[1:]}".encode())
    good = issued(tokens, target)
    values = {
        "good": good,
        "bad": good[:-5] + "aaaaa",
        "of another": issued(tokens),
        "old": issued(HopTokens(lambda: SECRET, old), target),
        "ahead": issued(HopTokens(lambda: SECRET, ahead), target),
        "encoded": good.replace(".", "%2E"),
        "twice": f"{good}&{HOP}={good}",
        "empty": "",
        "cut": good.partition(".")[0],
        "%zz": "%zz",
    }
    raw = f"/b/k?{HOP}={values[token]}{more}".encode()
    seen: list[Hop] = []
    authenticator = HopAuthenticator(SimpleAuthenticator("daemon", clock), tokens, seen.append)
    said = authorization("bob") if named else None
    quick = IQuickAuthenticator(authenticator).identify(None if said is None else said.encode(), method, raw, {})
    assert len(seen) == (quick is not None)
    try:
        slow = await authenticator.authenticate(head(raw, method, **({} if said is None else {"authorization": said})))
    except S3Error:
        slow = None
    assert quick == slow
    assert (quick is not None) == (token in ("good", "encoded") and method != "PUT")


def test_a_token_is_enough_where_nothing_else_is_quick(tokens: HopTokens, clock: Clock) -> None:
    """Where everybody else has to wait to be known, who brings a token does not."""
    slow = HopAuthenticator(SlowAuthenticator(), tokens)
    raw = f"/b/k?{HOP}={issued(tokens, parse_target(b'/b/k'))}".encode()
    identify = IQuickAuthenticator(slow).identify
    found = identify(None, "GET", raw, {})
    assert found is not None
    assert found.name == "alice"
    assert identify(None, "GET", b"/b/k", {}) is None


@implementer(IAuthenticator)
class SlowAuthenticator:
    """Knows nobody at once."""

    async def authenticate(self, head: RequestHead) -> IPrincipal:
        """See ``IAuthenticator``."""
        raise S3Error("AccessDenied")


def test_offers_what_the_inner_one_offers(tokens: HopTokens, clock: Clock) -> None:
    """Quick identification stays, and there is no token exchange where there was none."""
    authenticator = HopAuthenticator(SimpleAuthenticator("daemon", clock), tokens)
    quick = IQuickAuthenticator(authenticator)
    assert quick.identify(None, "GET", b"/b/k", {}) is not None
    assert ITokenExchange(authenticator, None) is None


def test_is_the_same_for_some_seconds(tokens: HopTokens, clock: Clock) -> None:
    """Whoever is sent on again within some seconds has the same token, which lives no longer for that; then another."""
    clock.advance(-clock.seconds() % SAME_SECONDS)
    first = issued(tokens)
    clock.advance(SAME_SECONDS - 1)
    assert issued(tokens) == first
    clock.advance(1)
    assert issued(tokens) != first
    clock.advance(LIFE_SECONDS - SAME_SECONDS + SKEW_SECONDS)
    assert tokens.read(first, "GET", TARGET).guest.name == "alice"
    clock.advance(1)
    assert refused(tokens, first)
    assert refused(tokens, first)


def test_is_no_good_when_the_secret_is_another(clock: Clock) -> None:
    """A token that was good is refused as soon as the members have another secret."""
    secret = [SECRET]
    tokens = HopTokens(lambda: secret[0], clock)
    token = issued(tokens)
    assert tokens.read(token, "GET", TARGET)
    secret[0] = bytes(reversed(SECRET)) + b"x"
    assert refused(tokens, token)
    assert issued(tokens) != token
