"""The Parquet tables of the store: examples, pairs, completions, labels, predictions and answers."""

from w2s.artifacts.tables.answers import Answers, answers_table, read_answers, write_answers
from w2s.artifacts.tables.completions import CompletionDataset, read_completions, write_completions
from w2s.artifacts.tables.examples import Dataset, iterate_examples, read_dataset, write_examples
from w2s.artifacts.tables.labels import (
    LabelRow,
    Labels,
    align,
    align_known,
    labels_table,
    read_labels,
    write_labels,
)
from w2s.artifacts.tables.lineage import parent
from w2s.artifacts.tables.pairs import PairDataset, read_pairs, write_pairs
from w2s.artifacts.tables.predictions import Predictions, read_predictions, softmax, write_predictions
from w2s.artifacts.tables.reading import read_table

__all__ = [
    "Answers",
    "CompletionDataset",
    "Dataset",
    "LabelRow",
    "Labels",
    "PairDataset",
    "Predictions",
    "align",
    "align_known",
    "answers_table",
    "iterate_examples",
    "labels_table",
    "parent",
    "read_answers",
    "read_completions",
    "read_dataset",
    "read_labels",
    "read_pairs",
    "read_predictions",
    "read_table",
    "softmax",
    "write_answers",
    "write_completions",
    "write_examples",
    "write_labels",
    "write_pairs",
    "write_predictions",
]
