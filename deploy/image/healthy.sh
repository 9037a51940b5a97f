#!/bin/sh
# healthy.sh [API-PORT]: succeeds when the API says that it is ready.
exec python3 - "${1:-8000}" <<'PYTHON'
import sys
from urllib.error import URLError
from urllib.request import urlopen

try:
    urlopen(f"http://127.0.0.1:{sys.argv[1]}/health/ready", timeout=5).close()
except (URLError, OSError) as error:
    sys.exit(f"not ready: {error}")
PYTHON
