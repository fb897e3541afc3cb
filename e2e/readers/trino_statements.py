import time

from statements import serve
from trino_lake import run

serve(run, time.process_time)
