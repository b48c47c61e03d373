"""TLS of a server, with certificates that may be renewed while it runs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from w2s.errors import InvalidArgument
from w2s.rpc.settings import ServerSettings
from w2s.rpc.watched import WatchedFile


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """What a server shows its callers; None without TLS.

    The files are read again when they change: each new connection gets the certificate of the
    moment. With a client CA, callers must show a certificate of its (mutual TLS).

    Raises:
        InvalidArgument: A file is missing or no PEM, certificate and key do not belong together, or
            one of them is not set.
    """
    files = _files(settings)
    if files is None:
        return None
    watched = WatchedFile(files.paths, files.configuration, "tls_cert_file")
    first = watched.current()
    required = files.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(first, watched.current, require_client_authentication=required)


def http_context(settings: ServerSettings, field: str) -> ssl.SSLContext:
    """The same for an HTTP port.

    Args:
        settings: Name the files.
        field: The setting that asks for it.

    Raises:
        InvalidArgument: As `server_credentials`, or there is no certificate.
    """
    files = _files(settings)
    if files is None:
        raise InvalidArgument(field, "needs --tls-cert-file and --tls-key-file")
    watched = WatchedFile(files.paths, files.context, "tls_cert_file")

    def renew(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = watched.current()

    # Whatever a caller names, or does not name: each handshake asks here.
    listening = files.context()
    listening.sni_callback = renew
    return listening


@dataclass(frozen=True)
class _Files:
    """A certificate chain, its key, and the CA that callers' certificates must be of."""

    cert: Path
    key: Path
    client_ca: Path | None

    @property
    def paths(self) -> list[Path]:
        return [self.cert, self.key, *([self.client_ca] if self.client_ca else [])]

    def context(self) -> ssl.SSLContext:
        """What Python's TLS makes of them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert, self.key)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except ssl.SSLError as error:
            problem = f"certificate and key are no pair, or no PEM: {error}"
            raise InvalidArgument("tls_cert_file", problem) from error
        return context

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """What gRPC's TLS makes of them."""
        # gRPC would only fail each handshake.
        self.context()
        roots = self.client_ca.read_bytes() if self.client_ca else None
        return grpc.ssl_server_certificate_configuration([(self.key.read_bytes(), self.cert.read_bytes())], roots)


def _files(settings: ServerSettings) -> _Files | None:
    cert, key, client_ca = settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
    if cert is None or key is None:
        if cert or key or client_ca:
            raise InvalidArgument("tls_cert_file", "TLS needs both --tls-cert-file and --tls-key-file")
        return None
    return _Files(cert, key, client_ca)
