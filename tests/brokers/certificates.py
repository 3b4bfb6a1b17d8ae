"""Certificates for tests: an authority, and a certificate each for a server on 127.0.0.1 and for a client."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Certificates:
    """Paths of PEM files, written on construction. `stranger` is an authority that signed nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("an authority of tests")
        self.ca = self._write("ca.pem", _signed(name, key.public_key(), name, key, authority=True))
        self.server, self.server_key = self._issue("server", name, key)
        self.client, self.client_key = self._issue("client", name, key)
        other = ec.generate_private_key(ec.SECP256R1())
        strange = _signed(_name("a stranger"), other.public_key(), _name("a stranger"), other, authority=True)
        self.stranger = self._write("stranger.pem", strange)

    def _issue(self, name: str, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _signed(_name(name), key.public_key(), issuer, issuer_key, authority=False)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self._write(f"{name}.pem", certificate), self._write_bytes(f"{name}.key", text)

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        return self._write_bytes(name, certificate.public_bytes(Encoding.PEM))

    def _write_bytes(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())
