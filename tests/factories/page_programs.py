"""The pages' own programs, run by node beside the files they load, each where the site serves it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_VENDORED = (("noble-hashes", "hashes"), ("noble-secp256k1", "secp256k1"))
_SECONDS = 150


def lay_out(place: Path, program: str) -> Path:
    """Copy the site's modules below `place`, with `program` as the module beside them; returns `place`."""
    shutil.copytree(_ROOT / "static" / "js", place / "js")
    (place / "vendor").mkdir()
    for name, source in _VENDORED:
        (place / "vendor" / name).symlink_to(_ROOT / "node_modules" / "@noble" / source)
    (place / "package.json").write_text('{"type": "module"}')
    (place / "run.js").write_text(program)
    return place


def run(place: Path, sent: Any) -> Any:
    """What the program prints, as JSON, when it is given `sent` as JSON on its standard input."""
    done = subprocess.run(
        ["node", "--preserve-symlinks", "run.js"],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
