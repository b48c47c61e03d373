"""Generated code of protos/w2s/common."""
