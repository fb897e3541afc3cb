"""Statements that come as lines of JSON texts, each answered with a line: its rows, or the engine's fault."""

import json
import sys
import time

from values import plain


def serve(run, spent):
    """run(statement) returns rows; spent() is the CPU time that the engine has taken."""
    for line in sys.stdin:
        answer, began, cpu = {}, time.monotonic(), spent()
        try:
            rows = run(json.loads(line))
            answer = {"seconds": time.monotonic() - began, "cpu_seconds": spent() - cpu}
            answer["rows"] = [[plain(v) for v in row] for row in rows]
        except Exception as e:
            answer["fault"] = f"{type(e).__name__}: {str(e)[:2000]}"
        print(json.dumps(answer), flush=True)
