"""Who is redirected, and who is served."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import pytest_twisted
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from alluxio_s3.auth.principals import Principal
from alluxio_s3.cluster.arrivals import ARRIVE_SECONDS, REMEMBER_SECONDS, Arrivals
from alluxio_s3.cluster.clients import Client, Clients, known_clients
from alluxio_s3.cluster.hops import HOP, HopTokens
from alluxio_s3.cluster.routing import SAME_WAY_SECONDS, RedirectPolicy, Routing
from alluxio_s3.interfaces import Asker, IOwned, Member, Steered
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import parse_target
from alluxio_s3.storage import Status
from tests.cluster.fixed_members import SECRET, FixedMembers, member

ALICE = Principal("alice", "simple")
BOTO3 = "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.18 lang/python#3.11.7 Botocore/1.44.5"
AIOBOTOCORE = "aiobotocore/3.10.0 md/Botocore#1.43.117 ua/2.1 os/linux#6 m/Z cfg/retry-mode#legacy botocore/1.43.117"
FOLLOWERS = (
    AIOBOTOCORE, "rclone/", "rclone/v1.75.2", "aws-sdk-go/1.44.298 (go1.22.10; linux; amd64) [S3Manager]",
    "MinIO (Linux; x86_64) minio-py/7.2.20", "object_store/0.14.1", "polars/0.55.1", "pylance/14.0.2",
    "duckdb/v1.4.4(linux_amd64) python/3.11 6ddac802ff", "aws-sdk-cpp/1.11.800 ua/2.1 api/S3", "s3fs/1.90 (commit)", "Wget/1.21.3",
)  # fmt: skip
STOPPERS = (
    BOTO3, "Botocore/1.44.5 md/awscrt#0.38.0 CRTS3NativeClient/1.3.0 platform/unknown", "aws-cli/1.46.3 md/Botocore#1.43.62",
    "s3torchconnector/1.5.0 ua/2.1 mountpoint-s3-client/0.14.1", "CRTS3NativeClient/0.1.x platform/unknown", "aws-sdk-js/3.1168.0 ua/2.1",
    "MinIO (linux; amd64) minio-go/v7.0.46", "MinIO (linux; x64) minio-js/8.0.7", "aws-sdk-rust/1.3.13 os/linux", "tensorstore/0.1.86",
)  # fmt: skip
UNKNOWN = ("", "curl/7.88.1", "Mozilla/5.0", "python-requests/2", "xrclone/1", "my polars/1")


@implementer(IOwned)
@define
class Store:
    """A store whose objects belong to ``whose``, and are all of one size."""

    whose: Member | None
    sized: int = 5 << 20
    asked: int = 0
    # Size and teller of a moment ago, and whether the reads that were noted had been sent.
    told: tuple[int, str] | None = None
    noted: list[bool] = field(factory=list)

    def note(self, path: str, *, sent: bool) -> None:
        """See ``IOwned``."""
        self.noted.append(sent)

    def size(self, path: str, owner: Member) -> int | None:
        """See ``IOwned``."""
        return self.told[0] if self.told is not None and self.told[1] == owner.worker else None

    def owner(self, path: str) -> Member | None:
        """See ``IOwned``."""
        return self.whose

    async def status(self, path: str) -> Status:
        """As of an under-store."""
        self.asked += 1
        return Status(path, self.sized, 0, "e", "v")


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def routing(clock: Clock, **policy: object) -> Routing:
    """A worker's routing."""
    members = FixedMembers("worker-1", [member("worker-1"), member("worker-2")])
    return Routing(members, RedirectPolicy(**policy), known_clients(), HopTokens(lambda: SECRET, clock), Arrivals(clock), clock)


def head(agent: str, raw: bytes = b"/b/k", *, secure: bool = False, **headers: str) -> RequestHead:
    """A GET."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("GET", parse_target(raw), Headers({"user-agent": agent, **named}), raw, secure, "10.0.0.9")


async def steer(routing: Routing, asked: RequestHead, store: Store | None = None) -> Steered:
    """What becomes of it, where worker 2 owns everything."""
    return await routing.steer(asked, ALICE, store or Store(member("worker-2")), asked.target.key)  # type: ignore[arg-type]


def send(routing: Routing, asked: RequestHead, store: Store, who: Principal = ALICE) -> Steered | None:
    """What becomes of it at once."""
    said = asked.headers.get("user-agent", "").encode(), asked.headers.get("x-alluxio-redirect", "").encode()
    asker = Asker(asked.peer, asked.secure, *said, asked.raw_target, asked.headers.get("range"))
    return routing.send(asker, lambda: asked, who, store, asked.target.key)  # type: ignore[arg-type]


@pytest_twisted.ensureDeferred
async def test_who_follows_is_redirected(clock: Clock) -> None:
    """Under ``auto`` every client that was seen to follow goes to the owner, path and query as they came."""
    for agent in FOLLOWERS:
        found = await steer(routing(clock), head(agent, b"/b/a%20b%2Fc?x-id=GetObject"))
        assert found.elsewhere is not None, agent
        assert found.elsewhere.endpoint == "127.0.0.2:29998"
        assert found.elsewhere.location.startswith(f"http://127.0.0.2:29998/b/a%20b%2Fc?x-id=GetObject&{HOP}=")


@pytest_twisted.ensureDeferred
async def test_who_stops_is_served(clock: Clock) -> None:
    """Under ``auto`` clients that stop at redirects, and those nobody knows, are never redirected, and no size is asked for."""
    for agent in (*STOPPERS, *UNKNOWN):
        store = Store(member("worker-2"))
        found = await steer(routing(clock), head(agent), store)
        assert found.elsewhere is None, agent
        assert found.reason.startswith("client-")
        assert not store.asked


@pytest_twisted.ensureDeferred
async def test_the_policy(clock: Clock) -> None:
    """``always`` redirects everybody, ``never`` nobody; a client's own word counts but under ``never``."""
    assert (await steer(routing(clock, mode="always"), head(BOTO3))).elsewhere
    assert not (await steer(routing(clock, mode="never"), head(AIOBOTOCORE, x_alluxio_redirect="true"))).elsewhere
    assert not (await steer(routing(clock, mode="always"), head(BOTO3, x_alluxio_redirect="false"))).elsewhere
    assert (await steer(routing(clock), head("curl/7", x_alluxio_redirect="True"))).elsewhere


@pytest_twisted.ensureDeferred
async def test_small_reads_are_served(clock: Clock) -> None:
    """Below the threshold it takes longer to go than to fetch: small objects, small ranges, empty objects."""
    one = routing(clock, mode="always", min_bytes=1 << 20)
    assert (await steer(one, head(AIOBOTOCORE), Store(member("worker-2"), (1 << 20) - 1))).reason == "size"
    for stretch in ("bytes=0-1023", "bytes=-1023", "bytes=5242000-", "bytes=9999999999-"):
        assert (await steer(one, head(AIOBOTOCORE, range=stretch))).reason == "size", stretch
    assert (await steer(one, head(AIOBOTOCORE, range="bytes=0-1048575"))).elsewhere
    assert not (await steer(routing(clock, mode="always", min_bytes=0), head(AIOBOTOCORE), Store(member("worker-2"), 0))).elsewhere


@pytest_twisted.ensureDeferred
async def test_what_is_ours_is_served(clock: Clock) -> None:
    """Where this worker owns the object, or nobody does, there is nothing to decide."""
    assert await steer(routing(clock, mode="always"), head(AIOBOTOCORE), Store(None)) == Steered()


@pytest_twisted.ensureDeferred
async def test_a_hop_is_the_last(clock: Clock) -> None:
    """A request that brings a token is not redirected again."""
    found = await steer(routing(clock, mode="always"), head(AIOBOTOCORE, f"/b/k?{HOP}=x".encode(), x_alluxio_redirect="true"))
    assert found == Steered(reason="hop")


@pytest_twisted.ensureDeferred
async def test_no_ping_pong(clock: Clock) -> None:
    """A client that may come back without its token is served when it does."""
    one = routing(clock)
    gdal = head("GDAL/3.10.3")
    assert (await steer(one, gdal)).elsewhere
    assert (await steer(one, gdal)).reason == "loop"
    clock.advance(6)
    assert (await steer(one, gdal)).elsewhere


@pytest_twisted.ensureDeferred
async def test_the_scheme_stays(clock: Clock) -> None:
    """Who came by HTTPS goes by HTTPS or nowhere."""
    one = routing(clock, mode="always")
    assert (await steer(one, head(AIOBOTOCORE, secure=True))).reason == "protocol"
    secured = Store(member("worker-2", https_port=29996, http_port=None))
    found = (await steer(one, head(AIOBOTOCORE, secure=True), secured)).elsewhere
    assert found is not None
    assert found.location.startswith("https://127.0.0.2:29996/b/k?")
    assert (await steer(one, head(AIOBOTOCORE), secured)).reason == "protocol"


@pytest_twisted.ensureDeferred
async def test_location_is_of_the_member_table(clock: Clock) -> None:
    """Neither Host nor the target of a request chooses where its sender is sent; IPv6 addresses have brackets."""
    one = routing(clock, mode="always")
    for raw in (b"http://evil.example/b/k", b"HTTP://evil.example:1/b/k?x-id=1", b"/b/k"):
        found = (await steer(one, head(AIOBOTOCORE, raw, host="evil.example"))).elsewhere
        assert found is not None
        assert urlsplit(found.location).netloc == found.endpoint == "127.0.0.2:29998"
        assert urlsplit(found.location).path == "/b/k"
    assert (await steer(one, head(AIOBOTOCORE, "/b/é".encode()))).reason == "target"
    six = Store(evolve(member("worker-2"), host="fd00::2"))
    found = (await steer(one, head(AIOBOTOCORE), six)).elsewhere
    assert found is not None
    assert found.endpoint == "[fd00::2]:29998"


@pytest_twisted.ensureDeferred
async def test_presigned_requests(clock: Clock) -> None:
    """Whoever fetches a presigned URL may be anybody: only known followers are redirected, even under ``always``."""
    for raw in (b"/b/k?X-Amz-Signature=0&X-Amz-Algorithm=A", b"/b/k?AWSAccessKeyId=a&Signature=s&Expires=1"):
        assert (await steer(routing(clock, mode="always"), head("curl/7", raw))).reason == "presigned"
        assert (await steer(routing(clock), head("Wget/1.21.3", raw))).elsewhere


@pytest_twisted.ensureDeferred
async def test_learns_who_never_arrives(clock: Clock) -> None:
    """A client that was redirected and of which nothing was heard is served from then on, for a while; one that arrived goes on."""
    one = routing(clock)
    asked = head("Wget/1.21.3")
    assert (await steer(one, asked)).elsewhere
    clock.advance(ARRIVE_SECONDS + 1)
    assert (await steer(one, asked)).reason == "client-stopped"
    other = evolve(asked, peer="10.0.0.10")
    assert (await steer(one, other)).elsewhere
    one.arrivals.arrived(Arrivals.name("Wget/1.21.3", "10.0.0.10"))
    clock.advance(ARRIVE_SECONDS + 1)
    assert (await steer(one, other)).elsewhere
    clock.advance(REMEMBER_SECONDS)
    assert (await steer(one, asked)).elsewhere


@pytest_twisted.ensureDeferred
async def test_who_was_not_sent_need_not_arrive(clock: Clock) -> None:
    """A client that is served since its credentials end in a moment is not taken for one that stops at redirects."""
    one, asked, brief = routing(clock), head("Wget/1.21.3"), ALICE.until(1.0)
    found = await one.steer(asked, brief, Store(member("worker-2")), "k")
    assert found.reason == "identity"
    clock.advance(ARRIVE_SECONDS + 1)
    assert (await steer(one, asked)).elsewhere


@pytest_twisted.ensureDeferred
async def test_a_size_that_was_just_told_is_not_asked_for(clock: Clock) -> None:
    """What its owner told a moment ago is enough; what another told is not. Each read counts once toward being hot, whatever is done."""
    one = routing(clock)
    known = Store(member("worker-2"), told=(5 << 20, "worker-2"))
    assert (await steer(one, head(AIOBOTOCORE), known)).elsewhere
    assert (await steer(one, head(AIOBOTOCORE), Store(member("worker-2"), told=(100, "worker-2")))).reason == "size"
    assert not known.asked
    other = Store(member("worker-2"), told=(100, "worker-3"))
    assert (await steer(one, head(AIOBOTOCORE), other)).elsewhere
    assert other.asked == 1
    assert known.noted == other.noted == [False]
    await steer(one, head(AIOBOTOCORE, f"/b/k?{HOP}=x".encode()), other)
    assert other.noted == [False, True]


AGENTS = st.sampled_from((AIOBOTOCORE, BOTO3, "curl/7", "GDAL/3.10.3"))


@given(
    AGENTS,
    st.sampled_from(("auto", "always", "never")),
    st.sampled_from((None, (5 << 20, "worker-2"), (5, "worker-2"), (5 << 20, "worker-3"))),
    st.sampled_from(({}, {"range": "bytes=0-9"}, {"range": "bytes=0-2000000"}, {"x_alluxio_redirect": "true"})),
    st.sampled_from((b"/b/k", b"/b/k?x-alluxio-hop=1")),
    st.sampled_from((None, "worker-2")),
)
def test_who_is_sent_at_once_is_sent_by_the_long_way_too(
    agent: str, mode: str, told: tuple[int, str] | None, more: dict[str, str], raw: bytes, owner: str | None
) -> None:
    """``send`` does as ``steer`` where that redirects without asking anybody, and else nothing: nothing is counted, and nobody sent."""
    asked = head(agent, raw, **more)
    stores = [Store(None if owner is None else member(owner), told=told) for _ in range(2)]
    quick, long = (routing(Clock(), mode=mode) for _ in range(2))
    for reads in (1, 2):
        found = send(quick, asked, stores[0])
        coroutine = steer(long, asked, stores[1])
        with pytest.raises(StopIteration) as done:
            coroutine.send(None)
        steered: Steered = done.value.value
        assert found == (steered if steered.elsewhere is not None and not stores[1].asked else None)
        if found is None:
            break
        assert stores[0].noted == [False] * reads
        assert quick._sent == long._sent


def test_whoever_reads_in_pieces_is_sent_the_same_way(clock: Clock) -> None:
    """For a moment, as long as nothing is another: who asks, what for, the owner, and whether they arrive. Each piece counts as a read."""
    one, owner = routing(clock), member("worker-2")
    store = Store(owner, told=(5 << 20, "worker-2"))
    asked = head("Wget/1.21.3", range="bytes=0-2000000")
    first = send(one, asked, store)
    assert first is not None
    assert send(one, evolve(asked, headers=Headers({**asked.headers, "range": "bytes=2000001-"})), store) is first
    assert send(one, head("Wget/1.21.3", range="bytes=0-99"), store) is None
    assert store.noted == [False, False]
    for other in (head("Wget/1.21.3", b"/b/other"), head("Wget/2"), evolve(asked, peer="10.0.0.10")):
        found = send(one, other, store)
        assert found is not None
        assert found != first
    bob = send(one, asked, store, Principal("bob", "simple"))
    assert bob is not None
    assert bob != first
    elsewhere = send(one, asked, Store(member("worker-3"), told=(5 << 20, "worker-3")))
    assert elsewhere is not None
    assert elsewhere.elsewhere != first.elsewhere
    assert send(one, head("Wget/1.21.3", x_alluxio_redirect="false"), store) is None


def test_nobody_is_sent_with_a_token_by_another_secret(clock: Clock) -> None:
    """When the members have another secret, nobody is sent with what was made by the one before."""
    one, store = routing(clock), Store(member("worker-2"), told=(5 << 20, "worker-2"))
    asked = head("Wget/1.21.3")
    first = send(one, asked, store)
    one.members.secret = b"another secret, which is as long" * 2
    assert send(one, asked, store) is not first


def test_the_same_way_ends_in_time(clock: Clock) -> None:
    """What was decided a moment ago is decided anew after it, and for a client that never arrived."""
    one, store = routing(clock), Store(member("worker-2"), told=(5 << 20, "worker-2"))
    asked = head("Wget/1.21.3")
    first = send(one, asked, store)
    clock.advance(SAME_WAY_SECONDS)
    again = send(one, asked, store)
    assert again is not None
    assert again is not first
    clock.advance(ARRIVE_SECONDS - SAME_WAY_SECONDS / 2)
    assert send(one, asked, store) is None
    clock.advance(REMEMBER_SECONDS + 1)
    assert send(one, asked, store) is not None


def test_several_processes_are_patient() -> None:
    """Where a report may reach another process, more than one has to be missed."""
    clock = Clock()
    arrivals = Arrivals(clock, processes=2)
    for _ in range(4):
        arrivals.sent("c")
        clock.advance(ARRIVE_SECONDS + 1)
        assert not arrivals.stops("c")
    arrivals.sent("c")
    clock.advance(ARRIVE_SECONDS + 1)
    assert arrivals.stops("c")


@given(
    st.sampled_from(("auto", "always", "never")),
    st.sampled_from((*FOLLOWERS, *STOPPERS, *UNKNOWN)),
    st.sampled_from((b"/b/k", b"/b/k?x-id=GetObject", b"/b/k?X-Amz-Signature=1", b"/b/k?x-alluxio-hop=1", b"http://h/b/k")),
    st.integers(0, 3 << 20),
    st.booleans(),
)
def test_whoever_is_redirected_can_follow(mode: str, agent: str, raw: bytes, size: int, secure: bool) -> None:
    """Whatever is asked: a redirect is only of a large object, not under ``never``, not of a hop; under ``auto`` only of a follower."""
    store = Store(member("worker-2", https_port=29996), size)
    coroutine = steer(routing(Clock(), mode=mode), head(agent, raw, secure=secure), store)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    found: Steered = done.value.value
    assert found.reason
    if found.elsewhere is not None:
        assert size >= 1 << 20
        assert mode != "never"
        assert b"hop=1" not in raw
        assert mode == "always" or agent in FOLLOWERS
        assert urlsplit(found.elsewhere.location).scheme == ("https" if secure else "http")


def test_the_longest_prefix_counts() -> None:
    """A client is known by the longest prefix at the start of its name, not by what comes later."""
    table = Clients([Client("a/", "never", "", ""), Client("a/2", "follows", "", ""), Client("a/", "follows", "", "", "z/")])
    assert [table.find(agent).may for agent in ("a/1", "a/21", "a/1 z/", "b a/1", "")] == [
        "never",
        "follows",
        "follows",
        "unknown",
        "unknown",
    ]


def test_a_table_that_makes_no_sense_is_refused() -> None:
    """Words that mean nothing and clients that are there twice are errors."""
    for entries in ([Client("a/", "maybe", "", "")], [Client("a/", "never", "", ""), Client("a/", "follows", "", "")]):
        with pytest.raises(ValueError, match="a"):
            Clients(entries)
