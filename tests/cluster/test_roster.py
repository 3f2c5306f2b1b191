"""Who is taken to be there, from who is registered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from alluxio_s3.cluster.roster import CHANCES, Roster
from alluxio_s3.interfaces import Member

WINDOW = 5.0


def members(*names):
    return {name: Member(name, "1", "h", 1, None, None) for name in names}


def roster(*names):
    made = Roster(WINDOW)
    made.see(members(*names), 0.0)
    return made


def test_one_after_another():
    """Workers that vanish one by one, with time between them, are gone: as many as there are."""
    ring = roster(*"abcd")
    for number, left in enumerate(("abc", "ab", "a", ""), 1):
        ring.see(members(*left), 10.0 * number)
        assert set(ring.live) == set(left)
        assert not ring.doubted


def test_a_few_at_once():
    """Up to half of them may vanish at once; of two workers, one."""
    for before, after in (("ab", "a"), ("abc", "ab"), ("abcd", "ab"), ("abcdefgh", "abcd")):
        ring = roster(*before)
        ring.see(members(*after), 1.0)
        assert set(ring.live) == set(after)


def test_most_at_once():
    """When more than half vanish within the window, all at once or in turn, those are kept, and nobody else is dropped meanwhile."""
    for steps in ((("a",),), (("a", "b"), ("a",)), ((),), (("a", "b"), ("a",), ())):
        ring = roster(*"abc")
        for number, left in enumerate(steps, 1):
            ring.see(members(*left), float(number))
        assert set(ring.live) == set("abc")
        assert set(ring.doubted) == set("abc") - set(steps[-1])


def test_most_at_once_of_whom_some_are_back():
    """Who has been registered anew by the process that it was had vanished, too: where that makes most of them, nobody is dropped."""
    for before, after, anew, kept in (
        ("abc", "ac", "ac", "abc"),
        ("ab", "a", "a", "ab"),
        ("abc", "ac", "a", "abc"),
        ("abcd", "acd", "a", "acd"),
    ):
        ring = roster(*before)
        ring.see(members(*after), 1.0, set(anew))
        assert set(ring.live) == set(kept)
        assert set(ring.doubted) == set(kept) - set(after)
    ring = roster(*"abc")
    ring.see(members(*"abc"), 1.0, set("ac"))
    ring.see(members(*"ac"), 1.0 + WINDOW / 2)
    assert set(ring.live) == set("abc")
    ring = roster(*"abc")
    ring.see(members(*"abc"), 1.0, set("ac"))
    ring.see(members(*"ac"), 2.0 + WINDOW)
    assert set(ring.live) == set("ac")


def test_those_that_are_doubted():
    """One that is doubted is dropped when it has not answered some times in a row, and believed when it is registered again."""
    ring = roster(*"abcd")
    ring.see({}, 1.0)
    for well in (False, False, True, *[False] * (CHANCES - 1)):
        ring.answered("a", well=well)
    assert "a" in ring.live
    ring.answered("a", well=False)
    assert set(ring.live) == set("bcd")
    ring.see(members("b"), 2.0)
    assert set(ring.doubted) == set("cd")
    ring.answered("b", well=False)
    ring.answered("nobody", well=False)
    ring.see(members("b", "c", "d"), 3.0)
    assert not ring.doubted
    ring.see(members("b", "c"), 4.0)
    assert set(ring.live) == set("bc")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from("abcdefg")), st.floats(0, 8)), max_size=12))
def test_never_most_of_them(steps):
    """Whatever happens, no step takes more than half of those who were there, and who is registered is there."""
    ring = roster(*"abcdefg")
    now = 0.0
    for registered, pause in steps:
        now += pause
        before = set(ring.live)
        ring.see(members(*registered), now)
        assert registered <= set(ring.live)
        assert len(before - set(ring.live)) <= max(1, len(before) / 2)
