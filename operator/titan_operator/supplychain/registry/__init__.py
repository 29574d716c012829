"""A client of OCI registries that trusts nothing it cannot check."""

from titan_operator.supplychain.registry.client import Manifest, Registries, Repository
from titan_operator.supplychain.registry.documents import Descriptor
from titan_operator.supplychain.registry.errors import RegistryError, RegistryProblem

__all__ = ["Descriptor", "Manifest", "Registries", "RegistryError", "RegistryProblem", "Repository"]
