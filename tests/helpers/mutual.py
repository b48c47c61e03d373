"""A gRPC server with mutual TLS that says whose certificate a caller shows, and what clients show it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from w2s.common.v1 import common_pb2 as common
from w2s.rpc.settings import ServerSettings
from w2s.rpc.tls import server_credentials
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc


class Shown:
    """The files that an environment's clients show.

    Args:
        folder: Where they are.
        monkeypatch: Sets the environment.
    """

    def __init__(self, folder, monkeypatch):
        self.cert, self.key = folder / "shown.crt", folder / "shown.key"
        files = {"SERVER_CA": folder / "ca.pem", "CLIENT_CERT": self.cert, "CLIENT_KEY": self.key}
        for name, path in files.items():
            monkeypatch.setenv(f"W2S_{name}_FILE", str(path))

    def renew(self, name, authority):
        """Replaces them by a certificate of another name, as a Secret's volume is: by a rename."""
        for issued, path in zip(authority.issue(name), (self.cert, self.key), strict=True):
            os.replace(issued, path)


def _shown(context):
    return context.auth_context()["x509_common_name"][0].decode()


class Mutual(trainer_pb2_grpc.TrainerServiceServicer, supervisor_pb2_grpc.SupervisorServiceServicer):
    """Answers with the name in the certificate; a watch ends when `release` is set."""

    def __init__(self):
        self.release = threading.Event()

    def GetRun(self, request, context):  # noqa: N802
        return trainer_pb2.Run(name=_shown(context))

    def WatchRun(self, request, context):  # noqa: N802
        for sequence in (1, 2):
            yield common.JobEvent(sequence=sequence)
            self.release.wait(30)

    def GetTeacher(self, request, context):  # noqa: N802
        version = common.TeacherVersion(teacher=request.name, digest="sha256:a")
        return supervisor_pb2.Teacher(version=version, label_names=[_shown(context)])


@contextmanager
def mutual_server(authority):
    """Serves it with certificates of an authority, to clients with such too: (servicer, target)."""
    cert, key = authority.issue("server")
    settings = ServerSettings(
        artifact_root="a",
        database_url="sqlite://",
        tls_cert_file=cert,
        tls_key_file=key,
        tls_client_ca_file=authority.file,
    )
    server, servicer = grpc.server(ThreadPoolExecutor(4)), Mutual()
    trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, server)
    supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(settings))
    server.start()
    try:
        yield servicer, f"localhost:{port}"
    finally:
        servicer.release.set()
        server.stop(None).wait()
