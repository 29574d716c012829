"""``policy hash`` and ``policy verify``: the hash of the rules in a file, and what they can trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from titan.cli.errors import BadInput, Refused
from titan.cli.files import parse_yaml, read_bytes, read_text
from titan.cli.output import Output, print_document, print_text

if TYPE_CHECKING:
    from titan.domain.policy_rules import PolicyRules


@dataclass(frozen=True)
class PolicyInFile:
    """One policy of a file. ``declared`` is the hash in its object; empty for bare rules."""

    name: str
    hash: str
    declared: str
    rules: PolicyRules

    @property
    def problem(self) -> str | None:
        """Mismatch between the object and its rules; None where they agree."""
        digits = self.hash.removeprefix("sha256:")[:8]
        if self.declared and self.declared != self.hash:
            return f"{self.name}: spec.hash is {self.declared}, the rules' hash is {self.hash}"
        if self.declared and not self.name.endswith(f"-{digits}"):
            return f"metadata.name: {self.name!r}; allowed is a name that ends in -{digits}, the start of the hash"
        return None


def read_policies(path: Path) -> list[PolicyInFile]:
    """Read every RiskPolicy of a YAML file, or the rules of a ``.json`` file; declared hashes are not trusted.

    Raises
    ------
    BadInput
        When the file cannot be read or holds no policy; names field, value and what is allowed.
    """
    from titan.domain.policy import PolicyError
    from titan.domain.policy_hash import read_policy

    try:
        if path.suffix == ".json":
            policy = read_policy(read_bytes(path))
            return [PolicyInFile(path.stem, policy.hash, "", policy.rules)]
        read = [(name, declared, read_policy(rules)) for name, rules, declared in _risk_policies(path)]
        return [PolicyInFile(name, policy.hash, declared, policy.rules) for name, declared, policy in read]
    except PolicyError as error:
        more = "".join(f"\n  {problem}" for problem in error.problems[1:])
        raise BadInput(f"{path}: {error.problems[0]}{more}") from error


def _risk_policies(path: Path) -> list[tuple[str, dict[str, object], str]]:
    policies: list[tuple[str, dict[str, object], str]] = []
    for document in parse_yaml(path, read_text(path)):
        if not isinstance(document, dict) or document.get("kind") != "RiskPolicy":
            continue
        metadata, spec = document.get("metadata"), document.get("spec")
        rules = spec.get("rules") if isinstance(spec, dict) else None
        if not isinstance(metadata, dict) or not isinstance(spec, dict) or not isinstance(rules, dict):
            raise BadInput(
                f"{path}: RiskPolicy: metadata.name, spec.rules or spec.hash is missing; all three are required"
            )
        policies.append((str(metadata.get("name", "")), rules, str(spec.get("hash", ""))))
    if not policies:
        raise BadInput(f"{path}: holds no RiskPolicy; allowed is a file with one, like policies/demo.yaml")
    return policies


def show_hashes(path: Path, output: Output) -> None:
    """Print the hash of each policy in ``path``; alone where there is one."""
    policies = read_policies(path)
    if output is not Output.TABLE:
        print_document([{"name": policy.name, "policy_hash": policy.hash} for policy in policies], output)
    else:
        for policy in policies:
            print_text(policy.hash if len(policies) == 1 else f"{policy.hash}  {policy.name}")


def verify(path: Path, output: Output, equity: Decimal, prices: Sequence[str]) -> None:
    """Compare each policy's declared hash and name with its rules, and print what it can trade at ``equity``.

    Raises
    ------
    Refused
        Where a hash or a name is another one.
    """
    from titan.cli.policy_capacity import capability_document, parse_prices, print_capability

    policies, known = read_policies(path), parse_prices(prices)
    if bare := [policy.name for policy in policies if not policy.declared]:
        raise BadInput(f"{path}: {bare[0]} declares no hash to verify; allowed is a RiskPolicy with spec.hash")
    if output is not Output.TABLE:
        print_document(
            [
                {
                    "name": policy.name,
                    "declared": policy.declared,
                    "policy_hash": policy.hash,
                    "ok": not policy.problem,
                    **capability_document(policy.rules, equity, known),
                }
                for policy in policies
            ],
            output,
        )
    else:
        for policy in policies:
            if policy.problem is None:
                print_text(f"ok  {policy.hash}  {policy.name}")
                print_capability(policy.rules, equity, known)
    problems = [policy.problem for policy in policies if policy.problem is not None]
    if problems:
        raise Refused(f"{path}: {'; '.join(problems)}")
