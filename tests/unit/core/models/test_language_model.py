from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import VOCABULARY, causal

from w2s.models import language_model
from w2s.models.language_model import LanguageModel

# Those that scale or cap their logits, and one that calls its body's decoder, among them.
ARCHITECTURES = ["llama", "gpt2", "qwen3", "gemma2", "cohere", "granite", "opt"]


def log_softmax(model, ids):
    """Log-probabilities at every position, shape [T, V], from the model's own logits."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    return logits - logits.exp().sum(dim=-1, keepdim=True).log()


def read(model, ids):
    ids = torch.tensor([ids])
    return model.read({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("chunk", [1, 3 * VOCABULARY, 1 << 24])
def test_log_probabilities_are_those_of_the_full_logits_however_they_are_cut(architecture, chunk, monkeypatch):
    monkeypatch.setattr(language_model, "CHUNK_NUMBERS", chunk)
    ids = [7, 100, 3, 3, 250, 90, 11, 0, 5, 60, 61, 62]
    rows, targets = [0, 0, 3, 3, 3, 7, 11], [5, 200, 1, 2, 258, 60, 9]
    model = LanguageModel(causal(architecture))
    found = model.log_probabilities(read(model, ids)[0], torch.tensor(rows), torch.tensor(targets))
    expected = log_softmax(causal(architecture), ids)[rows, targets]
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


def test_no_more_logits_exist_at_once_than_a_chunk_holds(monkeypatch):
    monkeypatch.setattr(language_model, "CHUNK_NUMBERS", 10 * VOCABULARY)
    model, sizes, logits = LanguageModel(causal("llama")), [], LanguageModel.logits

    def watch(self, hidden):
        sizes.append(logits(self, hidden).numel())
        return logits(self, hidden)

    monkeypatch.setattr(LanguageModel, "logits", watch)
    positions = torch.arange(95)
    model.log_probabilities(read(model, list(range(95)))[0], positions, positions)
    assert sizes == [10 * VOCABULARY] * 9 + [5 * VOCABULARY]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_reading_on_after_a_cache_gives_what_reading_at_once_gives(architecture):
    model = LanguageModel(causal(architecture))
    ids = [7, 100, 3, 3, 250, 90, 11, 0, 5, 60, 61, 62]
    whole = read(model, ids)[0, -1]
    _, cache = model.extend(torch.tensor([ids[:5]]), None)
    _, cache = model.extend(torch.tensor([ids[5:11]]), cache)
    hidden, _ = model.extend(torch.tensor([ids[11:]]), cache)
    torch.testing.assert_close(hidden[0], whole, atol=1e-4, rtol=1e-4)


def test_the_head_shares_the_models_weights_and_leaves_it_as_it_was():
    model = causal("llama")
    before = model(torch.tensor([[1, 2, 3]])).logits
    split = LanguageModel(model)
    split.logits(torch.zeros(1, 32))
    assert {id(p) for p in split._head.parameters()} == {id(model.lm_head.weight)}
    torch.testing.assert_close(model(torch.tensor([[1, 2, 3]])).logits, before)


def test_a_model_that_does_more_than_its_head_is_refused():
    model = causal("llama")
    forward = model.forward

    def twice(**inputs):
        outputs = forward(**inputs)
        # What depends on more than the hidden states cannot be done on some of them.
        return outputs if "inputs_embeds" in inputs else type(outputs)(logits=outputs.logits * 2)

    model.forward = twice
    with pytest.raises(ValueError, match="LlamaForCausalLM does more to its logits"):
        LanguageModel(model)


def test_a_model_that_looks_ahead_is_refused():
    with pytest.raises(ValueError, match="BertLMHeadModel is no causal language model"):
        LanguageModel(causal("bert"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_before_a_prompt_is_not_read(architecture):
    model = LanguageModel(causal(architecture))
    ids = [7, 100, 3, 3, 250, 90]
    padded, mask = torch.tensor([[9, 9, 9, *ids]]), torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
    _, cache = model.extend(padded[:, :6], None, mask[:, :6])
    hidden, _ = model.extend(padded[:, 6:], cache, mask)
    torch.testing.assert_close(hidden[0], read(model, ids)[0, -1], atol=1e-4, rtol=1e-4)
    assert model.pads_before


def test_a_model_that_reads_padding_does_not_share_batches():
    model = causal("llama")
    body = model.model.forward
    model.model.forward = lambda **given: body(**{**given, "attention_mask": None})
    assert not LanguageModel(model).pads_before
