"""Pure: render a plan as the objects of one namespace."""

from titan_operator.render.kubernetes.objects import Child, KubernetesOptions
from titan_operator.render.kubernetes.render import render_kubernetes

__all__ = ["Child", "KubernetesOptions", "render_kubernetes"]
