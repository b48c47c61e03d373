"""Models: pretrained bodies with a classification head, and what they predict."""
