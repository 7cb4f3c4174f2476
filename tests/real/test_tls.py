"""TLS on both sides: a backend that wants a client certificate, over HTTP and over gRPC."""

import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import posemon_otel as posemon
from posemon_otel import bootstrap
from posemon_otel.delivery import drops, quiet
from posemon_otel.delivery import globals as otel_globals
from tests.backends import GrpcBackend, HttpBackend

PEM = serialization.Encoding.PEM


class Issued:
    """A certificate and its key, as files."""

    def __init__(self, folder: Path, name: str, issuer: "Issued | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name((issuer or self).subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer or self).key.public_key()), critical=False
            )
        )
        if issuer is None:
            usage = x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(builder.sign((issuer or self).key, hashes.SHA256()).public_bytes(PEM))
        self.private = folder / f"{name}.key"
        self.private.write_bytes(
            self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )


class Issuer:
    def __init__(self, folder: Path) -> None:
        self.root = Issued(folder, "root")
        self.server = Issued(folder, "server", self.root)
        self.client = Issued(folder, "client", self.root)


def http(issuer: Issuer) -> HttpBackend:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issuer.server.certificate, issuer.server.private)
    context.load_verify_locations(issuer.root.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return HttpBackend(tls=context)


def grpc(issuer: Issuer) -> GrpcBackend:
    from grpc import ssl_server_credentials

    pair = issuer.server.private.read_bytes(), issuer.server.certificate.read_bytes()
    return GrpcBackend(
        credentials=ssl_server_credentials([pair], issuer.root.certificate.read_bytes(), require_client_auth=True)
    )


@pytest.mark.parametrize("kind", [http, grpc], ids=["http", "grpc"])
def test_all_signals_arrive_with_a_client_certificate_and_wait_without(tmp_path, monkeypatch, kind):
    issuer = Issuer(tmp_path)
    drops.reset()
    quiet.reset()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(issuer.root.certificate))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(issuer.client.certificate))  # of something else in the process
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    with kind(issuer) as backend, otel_globals.set_aside():

        def configure() -> "bootstrap.Handle":
            return posemon.configure(
                "worker",
                otlp_endpoint=backend.url,
                otlp_protocol=backend.protocol,
                journal_dir=str(tmp_path / "journal"),
                ship_interval=0.05,
                log_format="none",
                disabled_instrumentations=("*",),
            )

        try:
            with posemon.generation("before anything is configured"):
                pass
            stranger = configure()
            with posemon.generation("g1"):
                pass
            assert stranger.force_flush(1.5) is False
            assert backend.asked == []
            stranger.shutdown(1.0)

            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(issuer.client.certificate))
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", str(issuer.client.private))
            handle = configure()
            with posemon.generation("g2"):
                pass
            posemon.worker_logger.info("known")
            assert handle.force_flush(10.0) is True
            deadline = time.monotonic() + 20  # the first pipeline's journal is adopted
            while len(backend.spans()) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            left = bootstrap.handle()
            if left is not None:
                left.shutdown(2.0)
    assert [span.name for span in backend.spans()] == ["pose.generation"] * 2
    assert "known" in [record.body.string_value for record in backend.logs()]
    assert {signal for signal, _ in backend.kept} == {"traces", "logs", "metrics"}
    assert drops.counts() == {}
