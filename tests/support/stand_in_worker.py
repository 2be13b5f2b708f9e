"""A worker process that stands in for that of the symbolic checks: it does what the answer says, and no mathematics.

``sleep`` waits, ``compute`` uses processor time, ``fill`` takes memory, ``end`` ends the process, ``nest`` recurses
without end; anything else is equal to a gold answer that is the same.
"""

import os
import sys
import time

from roi_bench.grading.symbolic_worker import serve


def compared(gold: str, answer: str, question: str) -> bool | None:
    """Do what ``answer`` says."""
    if answer == "sleep":
        time.sleep(60)
    elif answer == "compute":
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    elif answer == "fill":
        held = []
        while True:
            held.append(bytearray(16 << 20))
    elif answer == "end":
        os._exit(0)
    elif answer == "nest":
        return compared_deeper(gold)
    return gold in (answer, question)


def compared_deeper(gold: str) -> bool:
    return compared_deeper(gold)


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]), compared)
