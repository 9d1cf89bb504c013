"""Ports of the loopback: what one process is given nobody else takes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.network import _Block, free_port


class FreePortTests(SynchronousTestCase):
    def test_none_twice_in_a_row(self) -> None:
        given = [free_port() for _ in range(100)]
        self.assertEqual(len(set(given)), 100)

    def test_two_processes_have_none_in_common(self) -> None:
        one, other = _Block(), _Block()
        ports = [{block.next() for _ in range(500)} for block in (one, other)]
        self.assertEqual(ports[0] & ports[1], set())

    def test_within_their_block_in_turn(self) -> None:
        block = _Block()
        ports = [block.next() for _ in range(398)]
        self.assertEqual(ports[:199], ports[199:])
        self.assertEqual(max(ports) - min(ports), 198)
