"""A log that cannot be written ends nothing, and counts the lost lines afterwards."""

from __future__ import annotations

import errno
import io

from titan.runtime.telemetry.logs import configure_logging, get_logger


class FullDisk(io.StringIO):
    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_full_disk_loses_lines_and_counts_them_later() -> None:
    stream = FullDisk()
    try:
        configure_logging("json", "info", stream)
        get_logger("brain").info("lost")
        stream.full = False
        get_logger("brain").info("kept")
    finally:
        configure_logging("console", "info")
    said = stream.getvalue()
    assert "log writes failed and are lost" in said
    assert '"kept"' in said
    assert '"lost"' not in said
