"""What is done to the cluster. Each is a context manager: what is broken as it begins is whole again when it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from tests.cluster.nemeses.field import CLIENTS, ETCD, GUEST, STORE, WORKERS, Field

Nemesis = Callable[[Field], AbstractContextManager[str]]
"""What it yields says in words what it did."""

# A cable with a loose contact: how often it goes and comes again.
FLAPS = 5
FLAP_SECONDS = 0.5


@contextmanager
def kill(field: Field) -> Iterator[str]:
    """SIGKILL one worker; in the end it is started again."""
    with field.taken(*WORKERS) as worker:
        if worker is None:
            yield "nobody is left to be killed"
            return
        with field.absent(worker.name):
            worker.daemon.kill()
            try:
                yield f"{worker.name} is killed"
            finally:
                field.start(worker)


@contextmanager
def stop(field: Field) -> Iterator[str]:
    """SIGSTOP one worker, and in the end SIGCONT."""
    with field.taken(*WORKERS) as worker:
        if worker is None:
            yield "nobody is left to be stopped"
            return
        with field.absent(worker.name):
            field.signal(worker, signal.SIGSTOP)
            try:
                yield f"{worker.name} stands still"
            finally:
                field.signal(worker, signal.SIGCONT)


@contextmanager
def leave(field: Field) -> Iterator[str]:
    """One worker is told to stop, or the guest comes; in the end it is started again, or told to stop."""
    with field.taken(*WORKERS, GUEST) as worker:
        if worker is None:
            yield "nobody is left to come or to go"
        elif worker.name == GUEST:
            worker.daemon.directory.mkdir(exist_ok=True)
            field.start(worker)
            try:
                yield f"{worker.name} has come"
            finally:
                worker.daemon.stop()
        else:
            with field.absent(worker.name, drains=True):
                worker.daemon.stop()
                try:
                    yield f"{worker.name} has gone"
                finally:
                    field.start(worker)


@contextmanager
def cut(field: Field) -> Iterator[str]:
    """Two cannot reach each other: two workers, or one worker and etcd, or the store, or everybody."""
    name, other = field.random.choice(WORKERS), field.random.choice(("worker", "worker", "etcd", "store", "all", "flap"))
    with ExitStack() as undo:
        if other == "worker":
            another = field.random.choice([one for one in WORKERS if one != name])
            _silence(field, undo, [(name, another), (another, name)])
            yield f"{name} and {another} are cut off from each other"
        elif other == "etcd":
            _silence(field, undo, [pair for node in ETCD for pair in ((name, node), (node, name))])
            yield f"{name} is cut off from etcd"
        elif other == "store":
            undo.enter_context(field.absent(name))
            _silence(field, undo, [(name, STORE), (STORE, name)])
            yield f"{name} is cut off from the store"
        else:
            undo.enter_context(field.absent(name))
            for _ in range(FLAPS if other == "flap" else 0):
                field.network.pull(name)
                time.sleep(FLAP_SECONDS)
                field.network.plug(name)
                time.sleep(FLAP_SECONDS)
            field.network.pull(name)
            undo.callback(field.network.plug, name)
            yield f"the cable of {name} is pulled{', after it was loose' if other == 'flap' else ''}"


@contextmanager
def one_way(field: Field) -> Iterator[str]:
    """What one sends to another does not arrive, while what comes back would."""
    name, other = field.random.choice(WORKERS), field.random.choice(("worker", "worker", "etcd", "etcd", "store", "workers"))
    back = field.random.random() < 0.5
    with ExitStack() as undo:
        if other in ("worker", "workers"):
            others = [one for one in (*WORKERS, GUEST) if one != name]
            found = others if other == "workers" else [field.random.choice(others[:2])]
        elif other == "etcd":
            found = list(ETCD)
        else:
            undo.enter_context(field.absent(name))
            found = [STORE]
        _silence(field, undo, [(one, name) if back else (name, one) for one in found])
        yield f"nothing of {', '.join(found)} reaches {name}" if back else f"nothing of {name} reaches {', '.join(found)}"


@contextmanager
def split(field: Field) -> Iterator[str]:
    """Two workers are cut off together: from etcd, from the other workers, or, more often, from both."""
    pair = field.random.sample(WORKERS, 2)
    others = [name for name in (*WORKERS, GUEST) if name not in pair]
    beyond = field.random.choice(([*ETCD, *others], [*ETCD, *others], list(ETCD), others))
    with ExitStack() as undo:
        _silence(field, undo, [way for one in pair for other in beyond for way in ((one, other), (other, one))])
        yield f"{' and '.join(pair)} are cut off together from {', '.join(beyond)}"


@contextmanager
def etcd(field: Field) -> Iterator[str]:
    """etcd is killed, stands still or is cut off: one node of it, or all."""
    nodes = field.etcd if field.random.random() < 0.7 else [field.random.choice(field.etcd)]
    names = ", ".join(node.name for node in nodes)
    how = field.random.choice(("kill", "stop", "cut"))
    with ExitStack() as undo:
        if how == "kill":
            for node in nodes:
                undo.callback(node.start)
                node.kill()
            yield f"{names} killed"
        elif how == "stop":
            for node in nodes:
                undo.callback(node.signal, signal.SIGCONT)
                node.signal(signal.SIGSTOP)
            yield f"{names} stopped"
        else:
            pairs = [(node.name, one) for node in nodes for one in (*WORKERS, GUEST)]
            _silence(field, undo, [*pairs, *((one, name) for name, one in pairs)])
            yield f"{names} cut off from the workers"


def _silence(field: Field, undo: ExitStack, pairs: list[tuple[str, str]]) -> None:
    for pair in pairs:
        assert CLIENTS not in pair, "clients reach everybody, but those whose cable is pulled"
        field.network.cut(*pair)
        undo.callback(field.network.heal, *pair)


@contextmanager
def mix(field: Field) -> Iterator[str]:
    """Two or three of the others at once."""
    with ExitStack() as undo:
        chosen = field.random.sample(sorted(set(NEMESES) - {"mix"}), field.random.choice((2, 2, 3)))
        yield "; ".join([undo.enter_context(NEMESES[one](field)) for one in chosen])


NEMESES: Mapping[str, Nemesis] = {
    "kill": kill,
    "stop": stop,
    "cut": cut,
    "one-way": one_way,
    "split": split,
    "leave": leave,
    "etcd": etcd,
    "mix": mix,
}
