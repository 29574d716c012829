"""The two kinds of resource, RiskPolicy and TitanPhase, as typed models, and the reading of YAML that holds them."""

from titan_operator.api.loading import ResourceError, load_resources
from titan_operator.api.resources import Resource, RiskPolicy, TitanPhase

__all__ = ["Resource", "ResourceError", "RiskPolicy", "TitanPhase", "load_resources"]
