"""RiskPolicy and TitanPhase as typed models, and readers of their files and live objects."""

from titan_operator.api.loading import ResourceError, load_resources, read_live
from titan_operator.api.resources import Resource, RiskPolicy, TitanPhase

__all__ = ["Resource", "ResourceError", "RiskPolicy", "TitanPhase", "load_resources", "read_live"]
