"""Messages to values and back: the only place that knows both."""

from __future__ import annotations

import msgspec

from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, Receipt, Request, Told
from papercutd.domain.pricing import PriceLine
from papercutd.errors import NotFound, Rejected, StorageClosed, StorageFull
from papercutd.storage.values import PrinterSettings, ProviderSettings
from protocols import common
from protocols.codes import Code
from protocols.common import Mark as WireMark
from protocols.errors import Refusal
from protocols.handshake import Hello
from protocols.limits import CHUNK_LENGTH_MAX
from protocols.provider import messages

_ENCODE = msgspec.json.Encoder().encode
_CODES = {code.value: code for code in Code}
_REASONS = {reason.value: reason for reason in Reason}
_VERDICTS = {verdict.value: verdict for verdict in Verdict}


def to_refusal(error: Exception) -> Refusal | None:
    """The answer NO for an error of the product; None for one that is a bug."""
    if isinstance(error, Rejected):
        return Refusal(_CODES.get(error.code, Code.NOT_ALLOWED))
    if isinstance(error, StorageFull):
        return Refusal(Code.STORAGE_FULL)
    if isinstance(error, StorageClosed):
        return Refusal(Code.UNAVAILABLE)
    if isinstance(error, NotFound):
        return Refusal(Code.NOT_ALLOWED)
    return None


def position_in(position: common.Position | None) -> Position | None:
    return None if position is None else Position(*_position(position))


def position_out(position: Position | None) -> common.Position | None:
    if position is None:
        return None
    return common.Position(position.timeline, position.number, position.chain)


def _position(position: common.Position) -> tuple[int, int, str]:
    return position.timeline, position.number, position.chain


def mark_in(mark: WireMark) -> Mark:
    return Mark(mark.number, mark.chain)


def mark_sent(mark: Mark) -> WireMark:
    return WireMark(mark.number, mark.chain)


def mark_out(mark: Mark | None) -> WireMark | None:
    return None if mark is None else mark_sent(mark)


def document_in(document: common.Document) -> Document:
    return Document(
        groups=tuple(PageGroup(g.paper, g.pages, g.colour) for g in document.groups),
        copies=document.copies,
        duplex=document.duplex,
        format=document.format,
        analysed=document.analysed,
    )


def document_out(document: Document) -> common.Document:
    return common.Document(
        groups=[common.PageGroup(g.paper, g.pages, g.colour) for g in document.groups],
        copies=document.copies,
        duplex=document.duplex,
        format=document.format,
        analysed=document.analysed,
    )


def decision_in(decision: common.Decision) -> Decision:
    """Words of a newer release read as a hold: what was decided must still post."""
    return Decision(
        verdict=_VERDICTS.get(decision.verdict, Verdict.HOLD),
        reason=_REASONS.get(decision.reason, Reason.HELD),
        decider=decision.decider,
        user=decision.user,
        account=decision.account,
        printer=decision.printer,
        price_version=decision.price_version,
        lines=tuple(PriceLine(n.what, n.quantity, n.unit_e4) for n in decision.lines),
        position=decision.position,
        allowance=decision.allowance,
        promise=decision.promise,
        ask=decision.ask,
        named=decision.named,
        invoice=decision.invoice,
    )


def decision_out(decision: Decision) -> common.Decision:
    return common.Decision(
        verdict=decision.verdict.value,
        reason=decision.reason.value,
        decider=decision.decider,
        user=decision.user,
        account=decision.account,
        printer=decision.printer,
        price_version=decision.price_version,
        lines=[common.PriceLine(n.what, n.quantity, n.unit_e4) for n in decision.lines],
        position=decision.position,
        allowance=decision.allowance,
        promise=decision.promise,
        ask=decision.ask,
        named=decision.named,
        invoice=decision.invoice,
    )


def request_in(message: messages.Authorize, provider: str) -> Request:
    return Request(
        job=message.job,
        step=message.step,
        provider=provider,
        printer=message.printer,
        user_name=message.user_name,
        document=document_in(message.document),
        hedged=message.hedged,
        job_uuid=message.job_uuid,
        title=message.title,
        host=message.host,
        account=message.account,
        submitted_at=message.submitted_at,
        chosen=message.chosen,
        unanswered=message.unanswered,
        invoice=message.invoice,
    )


def request_out(request: Request, provider: str = "", hedged: bool = False) -> messages.Authorize:
    """``provider`` is named on a site's link only."""
    return messages.Authorize(
        job=request.job,
        step=request.step,
        printer=request.printer,
        user_name=request.user_name,
        document=document_out(request.document),
        hedged=hedged,
        job_uuid=request.job_uuid,
        title=request.title,
        host=request.host,
        account=request.account,
        submitted_at=request.submitted_at,
        provider=provider,
        chosen=request.chosen,
        unanswered=request.unanswered,
        invoice=request.invoice,
    )


def completion_in(message: messages.Complete, provider: str) -> Completion:
    return Completion(
        job=message.job,
        step=message.step,
        provider=provider,
        printer=message.printer,
        user_name=message.user_name,
        document=document_in(message.document),
        decision=None if message.decision is None else decision_in(message.decision),
        pages=message.pages,
        outcome=message.outcome,
        assumed=message.assumed,
        price_version=message.price_version,
        position=message.position,
        job_uuid=message.job_uuid,
        title=message.title,
        host=message.host,
        completed_at=message.completed_at,
        comment=message.comment,
    )


def completion_out(completion: Completion) -> messages.Complete:
    decision = completion.decision
    return messages.Complete(
        job=completion.job,
        step=completion.step,
        printer=completion.printer,
        user_name=completion.user_name,
        document=document_out(completion.document),
        decision=None if decision is None else decision_out(decision),
        pages=completion.pages,
        outcome=completion.outcome,
        assumed=completion.assumed,
        price_version=completion.price_version,
        position=completion.position,
        job_uuid=completion.job_uuid,
        title=completion.title,
        host=completion.host,
        completed_at=completion.completed_at,
        comment=completion.comment,
    )


def told_in(hello: Hello) -> Told:
    position, acked = position_in(hello.position), hello.acked
    if acked is None:
        return Told(position)
    return Told(position, acked.stream, mark_in(acked.mark))


def receipt_out(receipt: Receipt) -> messages.Receipt:
    position, mark = position_out(receipt.position), mark_out(receipt.mark)
    return messages.Receipt(receipt.state, receipt.amount_e4, receipt.pages, position, mark)


def receipt_in(receipt: messages.Receipt) -> Receipt:
    return Receipt(
        *(receipt.state, receipt.amount_e4, receipt.pages, position_in(receipt.position)),
        None if receipt.mark is None else mark_in(receipt.mark),
    )


def printer_out(printer: PrinterSettings) -> messages.PrinterSetting:
    return messages.PrinterSetting(
        id=printer.id,
        name=printer.name,
        uri=printer.uri,
        when_alone=printer.when_alone,
        release=printer.release,
        group=printer.group,
        held_max_s=printer.held_max_s,
    )


def config_out(
    settings: ProviderSettings,
    position: Position | None,
    application: tuple[str, int] | None,
) -> list[messages.Config]:
    """The pages of ``* CONFIG``, with the addresses of both servers."""
    servers = []
    if application is not None:
        servers.append(messages.ServerAddress("application", "application", *application))
    if settings.site is not None and settings.site[1]:
        servers.append(messages.ServerAddress("site", *settings.site))
    pages = _pages([printer_out(printer) for printer in settings.printers])
    return [
        messages.Config(
            printers=printers,
            servers=servers,
            price_version=settings.price_version,
            preferred=settings.preferred,
            retired=settings.retired,
            position=position_out(position),
            revoked=settings.revoked,
            page=number,
            last=number == len(pages) - 1,
            account_choice_timeout_s=settings.account_choice_timeout_s,
        )
        for number, printers in enumerate(pages)
    ]


def _pages(printers: list[messages.PrinterSetting]) -> list[list[messages.PrinterSetting]]:
    """``printers`` in pages of at most ``CHUNK_LENGTH_MAX`` bytes, at least one page."""
    pages: list[list[messages.PrinterSetting]] = [[]]
    size = 0
    for printer in printers:
        length = len(_ENCODE(printer)) + 1
        if pages[-1] and size + length > CHUNK_LENGTH_MAX:
            pages.append([])
            size = 0
        pages[-1].append(printer)
        size += length
    return pages
