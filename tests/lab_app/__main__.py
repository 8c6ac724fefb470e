# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the release in the current folder on a host's folder: ``python -m lab_app HOST_FOLDER``."""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
from pathlib import Path

from lab_app.http import Server
from lab_app.service import Service, read_release, read_settings

_PATIENCE_SECONDS = 30


def main() -> None:
    host = Path(sys.argv[1])
    # Beside the code, not in the working folder: "current" may point elsewhere meanwhile.
    release = read_release(Path(__file__).resolve().parents[1])
    service = Service(release, read_settings(host / "shared" / "env"), host)
    server = Server(int(service.settings["PORT"]), service.answer)
    # What each thread is at, into the service's log: for whoever wonders why nobody answers.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    service.log.write("INFO", f"{service.version} listens on port {service.settings['PORT']}")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_ignored: stop.set())
    threading.Thread(target=server.run, daemon=True).start()
    stop.wait()
    server.stop(_PATIENCE_SECONDS)
    service.pool.close()
    service.log.write("INFO", f"{service.version} ended in peace")


if __name__ == "__main__":
    main()
