"""What an error says to the person who reads it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd import errors
from papercutd.errors import NotFound, PapercutError, StorageFull


class TextTests(SynchronousTestCase):
    def test_none_is_empty(self) -> None:
        self.assertIn("Free some space", str(StorageFull()))
        self.assertEqual(str(StorageFull("so")), "so")
        self.assertIn("anna", str(NotFound("user", "anna")))
        for error in vars(errors).values():
            if isinstance(error, type) and issubclass(error, PapercutError):
                self.assertTrue(error.__doc__, error)
