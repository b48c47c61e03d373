"""The peer: a stock KServe ModelServer that runs the same model, one request after another."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

model_folder, announced, grpc_port, http_port = sys.argv[1:]
# The SDK reads the command line when it is imported.
sys.argv = ["kserve", f"--grpc_port={grpc_port}", f"--http_port={http_port}"]

from kserve import InferOutput, InferResponse, Model, ModelServer, logging  # noqa: E402

from w2s.models.checkpoint import load  # noqa: E402


class Teacher(Model):
    """Labels one text a request, as KServe's own examples do: in the handler."""

    def __init__(self) -> None:
        super().__init__("teacher")
        self.checkpoint = load(Path(model_folder))
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        texts = [text.decode() for text in payload.inputs[0].as_numpy().ravel().tolist()]
        inputs = self.checkpoint.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.checkpoint.model.config.max_length,
            return_tensors="pt",
        )
        with torch.inference_mode():
            probabilities = self.checkpoint.model(text=dict(inputs)).logits.softmax(dim=-1).numpy()
        output = InferOutput("probabilities", list(probabilities.shape), "FP32")
        output.set_data_from_numpy(probabilities)
        return InferResponse(payload.id, self.name, [output])


logging.logger.setLevel("ERROR")
teacher = Teacher()
Path(f"{announced}.part").write_text(json.dumps({"grpc": f"127.0.0.1:{grpc_port}"}))
os.replace(f"{announced}.part", announced)
ModelServer(access_log_format=None).start([teacher])
