"""Small images in a registry of their own, pushed by crane and signed by the real cosign."""

from __future__ import annotations

import os
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from testcluster.toolchain import SIGNING, ensure


@dataclass
class SignedImages:
    """A registry on the loopback interface without TLS; a context manager."""

    folder: Path
    address: str = field(init=False, default="")
    _tools: dict[str, Path] = field(init=False, default_factory=dict)
    _server: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tools = ensure(SIGNING)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        log = (self.folder / "registry.log").open("wb")
        command = [str(self._tools["crane"]), "registry", "serve", "--address", self.address]
        self._server = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 120
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the registry does not answer: {(self.folder / 'registry.log').read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Have the registry go away, with all that is in it."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=60) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def push(self, name: str, repository: str = "titan/titan") -> str:
        """Push an image that holds nothing but its name; its reference by digest."""
        layer, content = self.folder / f"{name}.tar", self.folder / name
        content.write_text(name)
        with tarfile.open(layer, "w") as archive:
            # The same image for a name, whenever it is made.
            archive.add(content, arcname=name, filter=lambda info: info.replace(mtime=0, deep=False))
        tagged = f"{self.address}/{repository}:{name}"
        self._run("crane", "append", "--insecure", "-f", str(layer), "-t", tagged)
        digest = self._run("crane", "digest", "--insecure", tagged).strip()
        return f"{self.address}/{repository}@{digest}"

    def key(self, name: str) -> str:
        """A key pair; the public key in PEM."""
        prefix = self.folder / name
        if not prefix.with_suffix(".pub").exists():
            self._run("cosign", "generate-key-pair", "--output-key-prefix", str(prefix))
        return prefix.with_suffix(".pub").read_text()

    def import_key(self, name: str, pem: bytes) -> None:
        """Take a private key in PEM as the one of this name."""
        prefix = self.folder / name
        prefix.with_suffix(".pem").write_bytes(pem)
        words = ("--key", str(prefix.with_suffix(".pem")), "--output-key-prefix", str(prefix))
        self._run("cosign", "import-key-pair", "--yes", *words)

    def sign(self, image: str, key: str = "release", *, older_format: bool = False) -> None:
        """Sign as the docs say, with the key of this name; or as cosign did before v3."""
        self.key(key)
        words = ("--new-bundle-format=false",) if older_format else ()
        self._run("cosign", "sign", "--yes", *self._by(key), "--allow-insecure-registry", *words, image)

    def attest(self, image: str, key: str) -> None:
        """Sign a statement about an image that does not say that it is signed."""
        predicate = self.folder / "predicate.json"
        predicate.write_text('{"built": "somewhere"}')
        words = ("--type", "https://titan.trading/test/v1", "--predicate", str(predicate))
        self._run("cosign", "attest", "--yes", *self._by(key), "--allow-insecure-registry", *words, image)

    def read(self, image: str, path: str) -> bytes:
        """Return the registry's content of ``path`` in an image's repository: ``manifests/TAG`` or ``blobs/DIGEST``."""
        repository = image.partition("@")[0].removeprefix(f"{self.address}/")
        url = f"http://{self.address}/v2/{repository}/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "*/*"}), timeout=60) as answer:
            return bytes(answer.read())

    def signed(self, name: str, key: str = "release") -> str:
        """Push an image and sign it."""
        image = self.push(name)
        self.sign(image, key)
        return image

    def sign_bytes(self, content: bytes, key: str) -> str:
        """Sign as ``cosign sign-blob`` does; the bundle, on one line."""
        self.key(key)
        payload, bundle = self.folder / "payload", self.folder / "bundle.json"
        payload.write_bytes(content)
        self._run("cosign", "sign-blob", "--yes", *self._by(key), "--bundle", str(bundle), str(payload))
        return " ".join(bundle.read_text().split())

    def _by(self, key: str) -> tuple[str, ...]:
        return "--key", str(self.folder / f"{key}.key"), "--tlog-upload=false", "--use-signing-config=false"

    def _run(self, tool: str, *arguments: str) -> str:
        environment = {**os.environ, "COSIGN_PASSWORD": ""}
        done = subprocess.run(
            [str(self._tools[tool]), *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"{tool} {' '.join(arguments)}: {done.stderr}")
        return done.stdout
