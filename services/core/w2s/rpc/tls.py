"""TLS of a server, with certificates that may be renewed while it runs."""

from __future__ import annotations

import ssl
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
    cert, key, client_ca = settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
    if cert is None or key is None:
        if cert or key or client_ca:
            raise InvalidArgument("tls_cert_file", "TLS needs both --tls-cert-file and --tls-key-file")
        return None
    paths = [cert, key, *([client_ca] if client_ca else [])]

    def read() -> grpc.ServerCertificateConfiguration:
        return _configuration(cert, key, client_ca)

    watched = WatchedFile(paths, read, "tls_cert_file")
    first = watched.current()
    return grpc.dynamic_ssl_server_credentials(first, watched.current, require_client_authentication=bool(client_ca))


def _configuration(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # gRPC would only fail each handshake.
        context.load_cert_chain(cert, key)
        if client_ca:
            context.load_verify_locations(client_ca)
    except ssl.SSLError as error:
        raise InvalidArgument("tls_cert_file", f"certificate and key are no pair, or no PEM: {error}") from error
    roots = client_ca.read_bytes() if client_ca else None
    return grpc.ssl_server_certificate_configuration([(key.read_bytes(), cert.read_bytes())], roots)
