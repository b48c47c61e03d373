"""The rendered manifests as real pods on this machine: buildah builds, podman runs, no registry is asked."""
