"""Verification of keyless signatures and log entries by the sigstore library, in a process of its own for its memory.

It reads one JSON request from each line of standard input and answers each with one line; it uses no network. Run by
:mod:`titan_operator.supplychain.sigstore_client`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.x509 import SubjectAlternativeName
from cryptography.x509.extensions import ExtensionNotFound
from pydantic import ValidationError
from sigstore._internal.trust import KeyringPurpose
from sigstore.errors import CertValidationError, Error, VerificationError
from sigstore.models import Bundle, TransparencyLogEntry, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import AllOf, AnyOf, Identity, OIDCIssuer, OIDCIssuerV2, UnsafeNoOp
from sigstore_models.rekor.v1 import TransparencyLogEntry as RawEntry
from sigstore_models.trustroot.v1 import TrustedRoot as RawRoot

# Errors that the library raises for bad input: its own, its models', and those of ASN.1 and base64.
_ERRORS = (Error, ValidationError, ValueError, TypeError, KeyError, AttributeError, ExtensionNotFound)
_MOST_ENTRIES = 8
Answer = dict[str, Any]


def verify_certified(bundle: Bundle, verifier: Verifier, identities: Sequence[Mapping[str, str]]) -> Answer:
    """Verify an envelope; return which of the identities signed it, and its verified payload."""
    try:
        payload_type, payload = verifier.verify_dsse(bundle, UnsafeNoOp())
    except VerificationError as error:
        return _refused(_reason(error), str(error))
    for identity in identities:
        issuers = AnyOf([OIDCIssuerV2(identity["issuer"]), OIDCIssuer(identity["issuer"])])
        try:
            AllOf([Identity(identity=identity["subject"]), issuers]).verify(bundle.signing_certificate)
        except VerificationError:
            continue
        return {"signer": identity["name"], "type": payload_type, "payload": base64.b64encode(payload).decode()}
    found = _subject(bundle)
    return _refused("UnknownIdentity", f"signed by {found}; expected is an identity of the trust policy")


def verify_entries(entries: Sequence[Any], root: TrustedRoot) -> Answer:
    """Verify entries; return the bodies of those that a trusted log has."""
    keys = root.rekor_keyring(KeyringPurpose.VERIFY)
    bodies, problem = [], "no entry"
    for raw in entries[:_MOST_ENTRIES]:
        try:
            entry = TransparencyLogEntry(RawEntry.from_dict(raw))
            entry._verify(keys)  # noqa: SLF001 - the library has no public way for signatures by a key
        except _ERRORS as error:
            problem = str(error)
            continue
        bodies.append(base64.b64encode(entry._inner.canonicalized_body).decode())  # noqa: SLF001
    return {"bodies": bodies} if bodies else _refused("LogEntryInvalid", problem)


def answer(request: Mapping[str, Any], root: TrustedRoot, verifier: Verifier) -> Answer:
    """Answer one request."""
    try:
        if "entries" in request:
            return verify_entries(request["entries"], root)
        bundle = Bundle.from_json(base64.b64decode(request["bundle"]))
        return verify_certified(bundle, verifier, request["identities"])
    except Exception as error:  # noqa: BLE001 - any error of a library on untrusted bytes refuses them
        return _refused("Malformed", f"{type(error).__name__}: {error}")


def _reason(error: VerificationError) -> str:
    text = str(error).lower()
    if isinstance(error, CertValidationError):
        return "BadCertificate"
    if "dsse: invalid signature" in text:
        return "BadSignature"
    logs = ("log entry", "verified time", "transparency log")
    return "LogEntryInvalid" if any(word in text for word in logs) else "BadCertificate"


def _subject(bundle: Bundle) -> str:
    try:
        names = bundle.signing_certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
        return ", ".join(str(name.value) for name in names)[:300]
    except _ERRORS:
        return "nobody"


def _refused(reason: str, message: str) -> Answer:
    return {"reason": reason, "message": " ".join(message.split())[:500]}


def main() -> int:
    """Read the trusted root from the first line, and answer every further line."""
    try:
        root = TrustedRoot(RawRoot.from_json(json.loads(sys.stdin.readline())["trustedRoot"]))
        verifier = Verifier(trusted_root=root)
    except _ERRORS as error:
        _send({"problem": " ".join(str(error).split())[:300]})
        return 1
    _send({})
    for line in sys.stdin:
        _send(answer(json.loads(line), root, verifier))
    return 0


def _send(document: Answer) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
