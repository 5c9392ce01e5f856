"""A result for other tools: JSON, CSV with a line per second, and HdrHistogram's percentile distributions."""

import csv
import io
from dataclasses import astuple, fields
from pathlib import Path

from hub.bench.figures import latencies
from hub.bench.latency import DIGITS, Latency
from hub.bench.result import Result, Sample

US_PER_MS = 1_000


def to_csv(result: Result) -> str:
    """A header and a line per second of the run, of every run where there were several, with its number first."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["run", *(member.name for member in fields(Sample))])
    for number, run in enumerate(result.runs or (result,), 1):
        lines.writerows([number, *astuple(sample)] for sample in run.samples)
    return text.getvalue()


def to_hgrm(latency: Latency) -> str:
    """A distribution in milliseconds, in the text format that HdrHistogram's plotters read."""
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for value_us, percentile, reached in latency.curve():
        line = f"{value_us / US_PER_MS:12.{DIGITS}f} {percentile / 100:14.12f} {reached:10d}"
        lines.append(line if percentile >= 100 else f"{line} {1 / (1 - percentile / 100):14.2f}")
    return "\n".join([*lines, *_footer(latency)]) + "\n"


def _footer(latency: Latency) -> list[str]:
    mean, deviation = latency.mean_us / US_PER_MS, latency.deviation_us / US_PER_MS
    buckets, parts = latency.buckets
    return [
        f"#[Mean    = {mean:12.{DIGITS}f}, StdDeviation   = {deviation:12.{DIGITS}f}]",
        f"#[Max     = {latency.most_us / US_PER_MS:12.{DIGITS}f}, Total count    = {latency.count:12d}]",
        f"#[Buckets = {buckets:12d}, SubBuckets     = {parts:12d}]",
    ]


def hgrm_files(result: Result, path: Path) -> dict[Path, str]:
    """The main distribution for ``path``, and each other one for a file beside it, ``NAME-connect.hgrm``.

    Of several runs these are the distributions of the one in the middle.
    """
    return {
        path if name == result.main_latency else path.with_stem(f"{path.stem}-{name}"): to_hgrm(result.latencies[name])
        for name in latencies(result)
    }
