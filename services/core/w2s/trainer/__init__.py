"""Generated code of protos/w2s/trainer."""
