"""A worker process that uses processor time whatever it is asked (see :mod:`tests.support.stand_in_worker`)."""

import sys

from roi_bench.grading.symbolic_worker import serve
from tests.support.stand_in_worker import compared

if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]), lambda gold, answer, question: compared(gold, "compute", question))
