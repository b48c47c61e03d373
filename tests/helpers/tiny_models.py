"""Random models of a few thousand parameters, and a tokenizer whose tokens are bytes."""

from __future__ import annotations

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    CohereConfig,
    FNetConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    RobertaConfig,
)

# 0 is a byte too, so that no test passes because padding happens to be nothing.
VOCABULARY = 256 + 3
BOS, EOS, END = 256, 257, 258
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
_IDS = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS, "initializer_range": 0.3}
_DECODER = {**_SIZES, **_HEADS, **_IDS, "max_position_embeddings": 128}
_ENCODER = {**_SIZES, "num_attention_heads": 4, **_IDS, "max_position_embeddings": 128}
_BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}

CONFIGS = {
    "llama": lambda: LlamaConfig(**_DECODER),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3, **_ids()
    ),
    "qwen3": lambda: Qwen3Config(
        **_DECODER, head_dim=8, use_sliding_window=True, max_window_layers=0, sliding_window=8
    ),
    "gemma2": lambda: Gemma2Config(**_DECODER, head_dim=8, sliding_window=8, final_logit_softcapping=2.0),
    "cohere": lambda: CohereConfig(**_DECODER, logit_scale=3.0),
    "granite": lambda: GraniteConfig(**_DECODER, logits_scaling=0.25),
    "opt": lambda: OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        word_embed_proj_dim=32,
        init_std=0.3,
        **_ids(),
    ),
    "bert": lambda: BertConfig(**_ENCODER),
    "roberta": lambda: RobertaConfig(**{**_ENCODER, "pad_token_id": 1}),
    "fnet": lambda: FNetConfig(**{name: value for name, value in _ENCODER.items() if name != "num_attention_heads"}),
    "bart": lambda: BartConfig(
        **_BART,
        vocab_size=VOCABULARY,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=128,
        init_std=0.3,
        decoder_start_token_id=EOS,
        **_ids(),
    ),
}


def _ids() -> dict:
    return {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS}


def byte_tokenizer(*, bos: bool = False, eos: bool = False, chat: bool = False, ends: bool = True):
    """A byte-level tokenizer without merges: 256 bytes, <bos>, <eos> and <end>, which also pads.

    Args:
        bos: Puts <bos> before a text.
        eos: Puts <eos> after a text.
        chat: Has the chat template `CHAT`.
        ends: Knows which tokens begin and end a text.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_byte)
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in ("<bos>", "<eos>", "<end>")])
    single = f"{'<bos> ' if bos else ''}$A{' <eos>' if eos else ''}"
    if bos or eos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single, pair=f"{single} $B:1", special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
        )
    names = {"bos_token": "<bos>", "eos_token": "<eos>"} if ends else {}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<eos>" if ends else "<end>", **names)
    fast.model_input_names = ["input_ids", "attention_mask"]
    if chat:
        fast.chat_template = CHAT
    return fast


def _byte(char: str) -> int:
    # The alphabet maps bytes to printable characters; this is its way back.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return ord(char) if ord(char) < 256 else others[ord(char) - 256]


def causal(name: str, seed: int = 0, **changes) -> PreTrainedModel:
    """A causal language model by architecture."""
    return _make(AutoModelForCausalLM, name, seed, changes)


def headed(name: str, labels: int = 3, seed: int = 0, **changes) -> PreTrainedModel:
    """A model with a classification head by architecture."""
    names = {"id2label": {index: f"class {index}" for index in range(labels)}}
    return _make(AutoModelForSequenceClassification, name, seed, {**names, **changes})


def _make(auto_class, name: str, seed: int, changes: dict) -> PreTrainedModel:
    config = CONFIGS[name]()
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(seed)
    return auto_class.from_config(config).eval()
