"""The order in which the runner's workers take the tests: none idles, and all end together.

Half of the tests compute (the simulator, unit tests), the others mostly wait for real processes.
By name they would come one kind after the other, with idle processors first and a queue for them
later. Here they are mixed by the time they take, and the longest of each kind begin.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import TestSuite

from twisted.trial.runner import TestLoader

#: Variable with the names whose tests are run.
NAMES = "PAPERCUTD_TESTS"
#: What most of the time waits for others.
_WAITING = ("tests.integration.", "tests.soak.", "tests.contract.", "tests.bench.")
#: About how many seconds a test takes on two busy cores, by the longest beginning of its name that
#: is here. Nothing depends on it but how long the whole takes.
_SECONDS = {
    "tests.": 0.1,
    "tests.contract.": 0.4,
    "tests.fuzz.": 2.0,
    "tests.integration.": 5.0,
    "tests.integration.test_account_choice.": 25.0,
    "tests.integration.test_client.": 48.0,
    "tests.integration.test_demo.": 90.0,
    "tests.integration.test_device_states.GuessTests.": 25.0,
    "tests.integration.test_find_me_faults.": 25.0,
    "tests.integration.test_postgres_outages.": 33.0,
    "tests.integration.test_several_servers.": 57.0,
    "tests.integration.test_versions.": 30.0,
    "tests.simulation.": 3.0,
    "tests.simulation.test_core.ProfileTests.": 11.0,
    "tests.simulation.test_core.ProfileTests.test_held_": 35.0,
    "tests.simulation.test_held_mutants.": 25.0,
    "tests.soak.": 40.0,
}


def testSuite() -> TestSuite:
    """What trial runs of this module: the tests of the names in the variable ``NAMES``."""
    found = TestLoader().loadByNames(os.environ[NAMES].split(), recurse=True)
    return TestSuite(in_order(_each(found)))


def in_order(tests: Iterable[Any]) -> list[Any]:
    """``tests``, both kinds spread over the whole time, each with its longest first."""
    kinds: dict[bool, list[Any]] = {False: [], True: []}
    for test in tests:
        kinds[test.id().startswith(_WAITING)].append(test)
    placed: list[tuple[float, Any]] = []
    for kind in kinds.values():
        kind.sort(key=lambda one: -seconds_of(one.id()))
        whole_s = sum(seconds_of(one.id()) for one in kind)
        begun_s = 0.0
        for one in kind:
            placed.append((begun_s / whole_s, one))
            begun_s += seconds_of(one.id())
    placed.sort(key=lambda entry: entry[0])
    return [one for _, one in placed]


def seconds_of(name: str) -> float:
    """About how long the test ``name`` takes."""
    known = [beginning for beginning in _SECONDS if name.startswith(beginning)]
    return _SECONDS[max(known, key=len)] if known else 0.1


def _each(found: Any) -> Iterator[Any]:
    """The tests of a suite of suites."""
    try:
        inner = iter(found)
    except TypeError:
        yield found
        return
    for one in inner:
        yield from _each(one)
