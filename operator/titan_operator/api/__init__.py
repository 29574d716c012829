"""RiskPolicy and TitanPhase as typed models, and the reading of files and live objects that hold them."""

from titan_operator.api.loading import ResourceError, load_resources, read_live
from titan_operator.api.resources import Resource, RiskPolicy, TitanPhase

__all__ = ["Resource", "ResourceError", "RiskPolicy", "TitanPhase", "load_resources", "read_live"]
