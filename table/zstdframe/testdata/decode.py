"""Decodes every *.zst in a folder by pyarrow's libzstd and compares it with the *.raw beside it."""
import pathlib
import sys

import pyarrow

checked = 0
for frame in pathlib.Path(sys.argv[1]).glob("*.zst"):
    raw = frame.with_suffix(".raw").read_bytes()
    got = pyarrow.decompress(
        frame.read_bytes(), decompressed_size=len(raw), codec="zstd", asbytes=True
    )
    if got != raw:
        sys.exit(f"{frame.name}: content differs")
    checked += 1
print(checked, "frames, pyarrow", pyarrow.__version__)
