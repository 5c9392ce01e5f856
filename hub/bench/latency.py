"""Times that were measured, kept as an HdrHistogram: every one counts, and none is stored."""

import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from hdrh.codec import HdrCookieException, HdrHistogramEncoder, HdrLengthException
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

LOWEST_US = 1
HIGHEST_US = 60_000_000
DIGITS = 3
TICKS_PER_HALF = 5
"""Points of a percentile curve each time the distance to 100 % halves; what HdrHistogram's own tools use."""


class BadLatency(ValueError):
    """A text is not an encoded histogram of ours."""


class Point(NamedTuple):
    """A point of a percentile curve: ``reached`` times, ``percentile`` % of all, were at most ``value_us``."""

    value_us: int
    percentile: float
    reached: int


class Latency:
    """A distribution of times, in microseconds from 1 to 60 s with three digits.

    Times beyond either end count as that end: a load test that saw 60 s has learnt what there was to learn.
    """

    __slots__ = ("_histogram",)

    def __init__(self, histogram: HdrHistogram | None = None) -> None:
        self._histogram = histogram if histogram is not None else HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    def __repr__(self) -> str:
        return f"<Latency {self.count} times, p50 {self.percentile(50)} µs, p99 {self.percentile(99)} µs>"

    def __eq__(self, other: object) -> bool:
        return self.encode() == other.encode() if isinstance(other, Latency) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it changes with every time that is added

    def add(self, us: float, count: int = 1) -> None:
        """Add ``count`` times of ``us`` microseconds."""
        if count > 0:
            self._histogram.record_value(min(max(int(us), LOWEST_US), HIGHEST_US), count)

    def merge(self, other: "Latency") -> None:
        """Add all times of another distribution."""
        if other.count:
            self._histogram.add(other._histogram)

    # --- what it tells ------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many times were added."""
        return int(self._histogram.get_total_count())

    @property
    def least_us(self) -> int:
        """The shortest time; 0: there is none."""
        return int(self._histogram.get_min_value()) if self.count else 0

    @property
    def most_us(self) -> int:
        """The longest time; 0: there is none."""
        return min(int(self._histogram.get_max_value()), HIGHEST_US) if self.count else 0

    @property
    def mean_us(self) -> float:
        return float(self._histogram.get_mean_value())

    @property
    def deviation_us(self) -> float:
        """The standard deviation."""
        return float(self._histogram.get_stddev())

    def percentile(self, percent: float) -> int:
        """What ``percent`` % of the times do not exceed, in microseconds; 0: there are none."""
        return self.percentiles([percent])[percent]

    def percentiles(self, percents: Iterable[float]) -> dict[float, int]:
        """Several percentiles in one pass; the keys are as asked for."""
        asked = list(percents)
        if not self.count:
            return dict.fromkeys(asked, 0)
        found = self._histogram.get_percentile_to_value_dict(asked)
        return {percent: min(int(found[percent]), self.most_us) for percent in asked}

    def curve(self, ticks: int = TICKS_PER_HALF) -> Iterator[Point]:
        """The percentile curve from 0 to 100 %, denser towards its end."""
        if self.count:
            for step in self._histogram.get_percentile_iterator(ticks):
                value = min(int(step.value_iterated_to), self.most_us)
                yield Point(value, float(step.percentile_level_iterated_to), int(step.total_count_to_this_value))

    @property
    def buckets(self) -> tuple[int, int]:
        """How the histogram is divided: buckets, and parts of each."""
        return int(self._histogram.bucket_count), int(self._histogram.sub_bucket_count)

    # --- there and back -----------------------------------------------------------------------------------------------

    def encode(self) -> str:
        """The distribution in HdrHistogram's compressed V2 format, as base64."""
        encoded: bytes = self._histogram.encode()
        return encoded.decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Self:
        """A distribution from its text.

        Raises:
            BadLatency: it is damaged, or a histogram of another range or precision.
        """
        try:
            coded = HdrHistogramEncoder.decode(text)
            shape = coded.payload.lowest_trackable_value, coded.payload.highest_trackable_value
            if (*shape, coded.payload.significant_figures) != (LOWEST_US, HIGHEST_US, DIGITS):
                raise BadLatency("a histogram, but not one of 1 µs to 60 s with three digits")
            histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS, hdr_payload=coded)
        except BadLatency:
            raise
        except (ValueError, TypeError, ArithmeticError, IndexError, zlib.error, *_HDR_ERRORS) as exc:
            raise BadLatency("not an HdrHistogram in compressed V2 format") from exc
        return cls(histogram)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        """Lets a result be read and written with histograms as texts."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(
            cls.decode,
            core_schema.str_schema(strict=True),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.encode),
        )


_HDR_ERRORS = (HdrCookieException, HdrLengthException)
