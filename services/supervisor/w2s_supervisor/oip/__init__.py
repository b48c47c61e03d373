"""The Open Inference Protocol (v2) and KServe's v1 over the supervisor's teachers.

Importing `sdk`, and so all that speaks the protocol, costs a second and 150 MB.
"""
