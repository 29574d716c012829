"""Types of Kubernetes Events. Pure."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """Types that Kubernetes knows."""

    NORMAL = "Normal"
    WARNING = "Warning"
