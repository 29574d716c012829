"""``verify-image``: the verdict of an operator under a trust policy on an image, with its reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from titan.cli.errors import BadInput, Refused, Unreachable
from titan.cli.files import read_bytes
from titan.cli.output import Output, print_document, print_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from titan_operator.supplychain.registry.credential_files import Login
    from titan_operator.supplychain.trust import TrustPolicy
    from titan_operator.supplychain.verdict import Verdict

# The registry does not answer: no verdict on the image.
_AWAY = "RegistryUnreachable"
_BAD_REFERENCE = "InvalidReference"


def verify_image(image: str, policy_file: Path, credentials_file: Path | None, output: Output) -> None:
    """Verify ``image`` under the trust policy of ``policy_file`` and print the verdict.

    Raises
    ------
    BadInput
        The reference, the trust policy or the credentials cannot be read.
    Refused
        The image does not pass; the message begins with the operator's reason.
    Unreachable
        Its registry does not answer.
    """
    policy = _policy(policy_file)
    verdict = asyncio.run(_verdict(image, policy, _logins(credentials_file)))
    if verdict.reason == _BAD_REFERENCE:
        raise BadInput(verdict.message)
    _show(image, verdict, policy.hash, output)
    if verdict.verified:
        return
    sentence = f"{verdict.reason}: {verdict.message}"
    raise Unreachable(sentence) if verdict.reason == _AWAY else Refused(sentence)


async def _verdict(image: str, policy: TrustPolicy, logins: Mapping[str, Login]) -> Verdict:
    from titan_operator.supplychain.mounted_verifier import cosign_verifier, registry_session

    async with registry_session() as session:
        return await cosign_verifier(session, policy, logins).verify(image)


def _policy(path: Path) -> TrustPolicy:
    from titan_operator.supplychain.trust import TrustPolicyError, load_trust_policy

    try:
        return load_trust_policy(read_bytes(path))
    except TrustPolicyError as error:
        raise BadInput(f"{path}: {error}") from error


def _logins(path: Path | None) -> Mapping[str, Login]:
    from titan_operator.supplychain.registry.credential_files import CredentialsFileError, read_docker_config

    if path is None:
        return {}
    try:
        return read_docker_config(read_bytes(path))
    except CredentialsFileError as error:
        raise BadInput(f"{path}: {error}") from error


def _show(image: str, verdict: Verdict, policy_hash: str, output: Output) -> None:
    signer = verdict.evidence.get("verifiedBy", "")
    if output is not Output.TABLE:
        document = {
            "image": image,
            "verified": verdict.verified,
            "verified_by": signer,
            # PyYAML cannot write an enumeration.
            "reason": str(verdict.reason),
            "message": verdict.message,
            "trust_policy": policy_hash,
        }
        print_document(document, output)
    elif verdict.verified:
        print_text(f"verified      {image}\nsigned by     {signer}\ntrust policy  {policy_hash}")
