"""The link identity of one job: an EC P-256 certificate that its peers pin exactly.

Self-signed and its own authority, so that trusting exactly this certificate is all a peer has to do. The
name is random: it says nothing about the organisation, and it is different for every party, because OpenSSL
looks a trusted certificate up by its name and takes the first. The key lives and dies with the job.
"""

import hashlib
import secrets
import ssl
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

CLOCK_SKEW = timedelta(minutes=5)


def make(*, now: datetime, until: datetime) -> tuple[str, str]:
    """Make a certificate for one job; returns (certificate PEM, private key PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"hengshu link {secrets.token_hex(8)}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until + CLOCK_SKEW)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), secret.decode()


def fingerprint(pem: str) -> bytes:
    """SHA-256 of the certificate's DER bytes: what is pinned."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
