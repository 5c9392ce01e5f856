"""The sockets of a run by what they do: publish, send commands, carry them out."""

from collections.abc import Callable, Sequence

from hub.bench import token
from hub.bench.check import Reader
from hub.bench.meters import Meters
from hub.bench.shaped import Acknowledged, Subscriber
from hub.bench.speak import Speech, Template
from hub.bench.wire import Ended, Upgrade

_UPDATE = -1
"""Stands among the times of requests for one whose answer is not measured."""


class Dashboard(Subscriber):
    """A subscriber that belongs to a run."""

    def __init__(self, upgrade: Upgrade, reader: Reader, meters: Meters, **options: bool) -> None:
        super().__init__(upgrade, reader, **options)
        self.meters = meters

    def gone(self, ended: Ended) -> None:
        self.meters.errors[str(ended)] += 1
        self.meters.connections -= 1
        self.meters.retire(self.reader)


class Sender(Acknowledged):
    """Sends numbered messages, each with a token.

    Attributes:
        number: the publisher's, in the tokens.
        sent: how many there were; the next one's number.
        unheard: how many of them the hub refused.
        on_answer: called when requests were answered, with how many.
    """

    def __init__(self, upgrade: Upgrade, speech: Speech, meters: Meters, number: int) -> None:
        super().__init__(upgrade, speech.success)
        self.number = number
        self.sent = 0
        self.unheard = 0
        self.on_answer: Callable[[int], None] | None = None
        self.meters = meters
        self.speech = speech

    def publish(self, template: Template, times_us: Sequence[int]) -> None:
        """Send one message for each of these times, all in one write.

        What cannot be sent, because the hub does not read, is counted as an error and takes no number.
        """
        first, count, number = self.sent, len(times_us), self.number
        frames = b"".join([template.fill(number, first + index, at_us) for index, at_us in enumerate(times_us)])
        if not self.send(frames):
            self.meters.errors["not sent: the hub does not read"] += count
            return
        self.waiting.extend(times_us)
        self.sent = first + count
        self.meters.sent += count

    def acknowledged(self, count: int) -> None:
        at_us = token.now_us()
        raw = self.meters.times["acknowledgement"].raw
        inserts = 0
        for _ in range(min(count, len(self.waiting))):
            sent_us = self.waiting.popleft()
            if sent_us != _UPDATE:
                raw[at_us - sent_us] += 1
                inserts += 1
        self.meters.acknowledged += inserts
        self._answered(inserts)

    def failed(self, payload: bytes) -> str:
        reason = self.speech.refusal(payload) or "error"
        self.meters.errors[reason] += 1
        self.unheard += 1
        self._answered(1)
        return reason

    def _answered(self, count: int) -> None:
        if count and self.on_answer is not None:
            self.on_answer(count)

    def gone(self, ended: Ended) -> None:
        self.meters.errors[str(ended)] += 1
        self.meters.connections -= 1
        # Whether the hub has what it did not answer, nobody can know.
        self.unheard += sum(sent_us != _UPDATE for sent_us in self.waiting)
        self.waiting.clear()


class Device(Sender):
    """A device: it publishes notifications, and carries out commands where it subscribed to them."""

    def __init__(self, upgrade: Upgrade, speech: Speech, meters: Meters, number: int, guid: str) -> None:
        super().__init__(upgrade, speech, meters, number)
        self._guid = guid
        self._newest: dict[int, int] = {}

    def message(self, payload: bytes, header: bytes) -> None:
        found = token.PATTERN.search(payload)
        if found is None:
            super().message(payload, header)
            return
        sender, number, _ = map(int, found.groups())
        if number < self._newest.get(sender, -1):
            self.meters.faults.reordered += 1
        self._newest[sender] = number
        command = self.speech.decode(payload).get("command")
        if isinstance(command, dict) and self.send(self.speech.update(self._guid, command.get("id", 0))):
            self.waiting.append(_UPDATE)


class Commander(Sender):
    """A dashboard that sends commands and waits for their results.

    Attributes:
        outstanding: numbers of commands without a result.
        on_result: called at each result.
    """

    def __init__(self, upgrade: Upgrade, speech: Speech, meters: Meters, number: int) -> None:
        super().__init__(upgrade, speech, meters, number)
        self.outstanding: set[int] = set()
        self.on_result: Callable[[], None] | None = None
        self._answers_had = 0

    def command(self, template: Template, at_us: int) -> None:
        """Send one command."""
        number = self.sent
        self.publish(template, [at_us])
        if self.sent > number:
            self.outstanding.add(number)

    def message(self, payload: bytes, header: bytes) -> None:
        found = token.PATTERN.search(payload)
        if found is None:
            super().message(payload, header)
            return
        if self.speech.sent in payload:
            return  # A device has it; its result is still to come.
        _, number, sent_us = map(int, found.groups())
        if number not in self.outstanding:
            self.meters.faults.repeated += 1
            return
        self.outstanding.remove(number)
        self.meters.results += 1
        self.meters.waited("result", sent_us)
        if self.on_result is not None:
            self.on_result()

    def _answered(self, count: int) -> None:
        self._answers_had += count
        super()._answered(count)

    def failed(self, payload: bytes) -> str:
        # Answers come in the order of the requests: this is the first one without any.
        self.outstanding.discard(self._answers_had)
        return super().failed(payload)

    def gone(self, ended: Ended) -> None:
        super().gone(ended)
        self.outstanding.clear()
