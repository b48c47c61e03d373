"""Random tiny models in an artifact store, as the trainer leaves its own."""

from __future__ import annotations

import torch
from helpers.tiny_models import CONFIGS, byte_tokenizer, causal

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, LANGUAGE_MODEL_SCHEMA, REWARD_SCHEMA
from w2s.models.checkpoint import Checkpoint
from w2s.models.classifier import Classifier, ClassifierConfig
from w2s.models.spec import Pooling


def store_language_model(
    store: ArtifactStore, key: str = "lm", *, chat: bool = False, seed: int = 0, **changes
) -> ArtifactRef:
    """A language model whose tokens are bytes; `chat` says that it was trained in the chat template."""
    config = {"run": {"model": {"chat_template": chat}}}
    with store.write("models", key, data_schema=LANGUAGE_MODEL_SCHEMA, config=config) as draft:
        causal("llama", seed, **changes).save_pretrained(draft.path)
        byte_tokenizer(chat=True).save_pretrained(draft.path)
    return draft.ref


def store_reward_model(store: ArtifactStore, key: str = "reward", seed: int = 0) -> ArtifactRef:
    """A reward model whose tokens are bytes."""
    config = ClassifierConfig(
        body=CONFIGS["llama"](), reads="reward", pooling=Pooling.LAST_TOKEN.value, id2label={0: "reward"}
    )
    return _store_headed(store, key, REWARD_SCHEMA, config, {}, seed)


def store_classifier(
    store: ArtifactStore, key: str = "classifier", names: tuple[str, ...] = ("no", "yes"), seed: int = 0
) -> ArtifactRef:
    """A classifier whose tokens are bytes."""
    config = ClassifierConfig(body=CONFIGS["bert"](), id2label=dict(enumerate(names)))
    return _store_headed(store, key, CLASSIFIER_SCHEMA, config, {"label_names": list(names)}, seed)


def _store_headed(store, key, schema, config, said, seed) -> ArtifactRef:
    torch.manual_seed(seed)
    model = Classifier(config)
    torch.nn.init.normal_(model.head.weight)
    with store.write("models", key, data_schema=schema, config=said) as draft:
        Checkpoint(model.eval(), byte_tokenizer()).save(draft.path)
    return draft.ref
