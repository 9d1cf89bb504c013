"""Tests of protocols.outbound."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from protocols.outbound import OutboundQueue


class OutboundQueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.written: list[bytes] = []
        self.queue = OutboundQueue(self.written.append, bytes_max=6)

    def test_writes_through(self) -> None:
        self.assertTrue(self.queue.send(b"longer than the limit"))
        self.assertEqual(self.written, [b"longer than the limit"])

    def test_waits_in_order_up_to_the_bound(self) -> None:
        self.queue.pause()
        self.assertTrue(self.queue.send(b"abc"))
        self.assertTrue(self.queue.send(b"def"))
        self.assertFalse(self.queue.send(b"g"))
        self.assertEqual((self.written, self.queue.waiting_bytes), ([], 6))
        self.queue.resume()
        self.assertEqual((self.written, self.queue.waiting_bytes), ([b"abc", b"def"], 0))

    def test_paused_again_in_the_midst(self) -> None:
        def write(line: bytes) -> None:
            self.written.append(line)
            queue.pause()

        queue = OutboundQueue(write, bytes_max=6)
        queue.pause()
        queue.send(b"abc")
        queue.send(b"def")
        queue.resume()
        self.assertEqual((self.written, queue.waiting_bytes), ([b"abc"], 3))
        queue.send(b"g")
        queue.resume()
        queue.resume()
        self.assertEqual(self.written, [b"abc", b"def", b"g"])

    def test_drain_and_clear(self) -> None:
        self.queue.pause()
        self.queue.send(b"ab")
        self.queue.send(b"cd")
        self.queue.drain()
        self.assertEqual(self.written, [b"abcd"])
        self.queue.drain()
        self.assertEqual(self.written, [b"abcd"])
        self.queue.pause()
        self.queue.send(b"ef")
        self.queue.clear()
        self.queue.resume()
        self.assertEqual((self.written, self.queue.waiting_bytes), ([b"abcd"], 0))

    def test_holds_nothing_where_nothing_waits(self) -> None:
        # There is one for each of the thousands of sessions of a server.
        self.assertFalse(hasattr(self.queue, "__dict__"))
        self.assertIsNone(self.queue._waiting)
        self.queue.pause()
        self.queue.send(b"abc")
        self.queue.resume()
        self.assertIsNone(self.queue._waiting)
