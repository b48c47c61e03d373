"""The KServe SDK's own model server on free ports, with a model that a user might write."""

import json
import socket
import sys

import numpy as np
from kserve import InferOutput, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput


class Parity(Model):
    """P(even) is 0.75 for texts of even length, and 0.25 for others."""

    def load(self):
        self.ready = True
        return True

    def get_input_types(self):
        return [{"name": "questions", "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self):
        return [
            {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "classes", "datatype": "INT64", "shape": [-1]},
        ]

    async def predict(self, payload, headers=None, response_headers=None):
        tensor = payload.get_input_by_name("questions")
        texts = [text.decode() if isinstance(text, bytes) else text for text in tensor.as_numpy().tolist()]
        if "bad" in texts:
            raise InvalidInput("there is a bad text")
        if "crash" in texts:
            raise RuntimeError("boom")
        even = np.array([[0.75 if len(text) % 2 == 0 else 0.25] for text in texts])
        scores = np.concatenate([1 - even, even], axis=1).astype(np.float32)
        if "half" in texts:
            scores /= 2
        outputs = [
            InferOutput("scores", list(scores.shape), "FP32", scores.ravel().tolist()),
            InferOutput("classes", [len(texts)], "INT64", scores.argmax(axis=1).tolist()),
        ]
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=outputs)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


ports = {"http": free_port(), "grpc": free_port()}
sys.stdout.write(json.dumps(ports) + "\n")
sys.stdout.flush()
model = Parity("parity")
model.load()
ModelServer(http_port=ports["http"], grpc_port=ports["grpc"], workers=1).start([model])
