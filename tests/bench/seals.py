"""``python -m tests.bench.seals``: what the seals of the ledger cost the writer, and verify.

Whole jobs (authorize, complete) in commits of 128, with and without seals, on a database
in memory: the processor's share alone.
"""

from __future__ import annotations

import json
import sys
import time

from papercutd.storage.proof.seals import take_seals, verify_ledger, watch
from papercutd.storage.replication import change_log
from tests.support.stores import Centre, Turner, completion, request

JOBS = 128 * 40


def jobs_us(sealed: bool) -> tuple[float, Centre]:
    """Microseconds of processor time a job."""
    change_log.take_seals = take_seals if sealed else lambda connection, number: []  # type: ignore[attr-defined]
    change_log.watch = watch if sealed else lambda connection: None  # type: ignore[attr-defined]
    turner = Turner()
    centre = Centre(turner)
    centre.user(restricted=False)
    asker = centre.provider("p2")
    began = time.process_time()
    for first in range(0, JOBS, 128):
        asked = [request(n, 2, provider="p2", printer=2) for n in range(first, first + 128)]
        answers = [centre.store.authorize(asker, one) for one in asked]
        turner.settle()
        for one, answer in zip(asked, answers, strict=True):
            centre.store.complete(asker, completion(one, answer.result))  # type: ignore[arg-type]
        turner.settle()
    return (time.process_time() - began) / JOBS * 1e6, centre


def main() -> int:
    # In turns: what else the machine does disturbs both alike.
    best = {False: float("inf"), True: float("inf")}
    for sealed in (False, True) * 4:
        spent_us, centre = jobs_us(sealed)
        best[sealed] = min(best[sealed], spent_us)
    began = time.process_time()
    problems = centre.turner.result(centre.store.read(verify_ledger))
    spent_s = time.process_time() - began
    figures = {
        "job_us_without": round(best[False], 1),
        "job_us_with": round(best[True], 1),
        "verified_jobs_per_s": round(JOBS / spent_s),
        "problems": len(problems),
    }
    print(json.dumps(figures))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
