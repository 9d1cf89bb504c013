"""Who pays for a job: how that is settled for each user, and what a person is asked about it."""

from __future__ import annotations

import enum

import attrs

#: Letters of a comment that a person gives with a choice.
COMMENT_MAX = 255


class Asked(enum.Enum):
    """What a question is about."""

    #: Who pays: the person, or one of the shared accounts open to them.
    ACCOUNT = "account"
    #: Whether it is to be printed at that price at all; the person pays.
    CONFIRM = "confirm"


@attrs.frozen
class Question:
    """A held job whose person is asked before it may print."""

    job: str
    printer: int
    printer_name: str
    user: int
    title: str
    pages: int
    amount_e4: int
    #: A value of ``Asked``.
    kind: str
    may_choose_personal: bool
    #: When the job goes on without an answer, by the wall clock.
    deadline_s: float


class Chosen(enum.Enum):
    """What a person answers."""

    #: Their own account pays; to ``confirm``: print it.
    PERSONAL = "personal"
    SHARED = "shared"
    #: Do not print it: the job is deleted.
    CANCEL = "cancel"


@attrs.frozen
class Choice:
    """A person's answer to a Question."""

    chosen: Chosen
    #: Minted by whoever answers, a UUIDv7: the same one again is the same answer.
    id: str
    #: With SHARED the account's id.
    shared: int | None = None
    comment: str = ""
