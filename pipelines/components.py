"""The steps that every pipeline shares, as KFP components.

Bodies import the package and call one function: on a cluster the package is in the image, on
a laptop in the environment. What a step does lives in `pipelines.steps`, versioned with it.
Annotations are evaluated by KFP, so this module does not postpone them, and bodies import what
they use, since their source travels alone.
"""

from kfp import dsl, kubernetes
from kfp.dsl import Model, Output

IMAGE = "w2s/pipelines:0.1.0"

component = dsl.component(base_image=IMAGE, install_kfp_package=False)

# Where the steps find the services on a cluster; locally the environment has the same names.
CONFIG_MAP = "w2s-endpoints"
_VARIABLES = ("W2S_SUPERVISOR_ADDRESS", "W2S_TRAINER_ADDRESS", "W2S_EVALUATOR_ADDRESS", "W2S_ARTIFACT_ROOT")
# What a step shows the services, where they ask for it.
SECRET = "w2s-token"  # noqa: S105 - the name of a Secret
# With TLS, the services' CA, and a certificate where they ask for one: the map says which files of the Secret.
TLS_SECRET, TLS_FOLDER = "w2s-tls", "/etc/w2s/tls"
_TLS_VARIABLES = ("W2S_SERVER_CA_FILE", "W2S_CLIENT_CERT_FILE", "W2S_CLIENT_KEY_FILE")
# The store's credentials, where it is S3 and the pod's service account has none.
STORE_SECRET = "w2s-store"  # noqa: S105 - the name of a Secret
_STORE_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION")

# A step that waits for a job may wait for days; any other is over in minutes.
_LONG_S, _SHORT_S = 7 * 24 * 3600, 3600


def on_cluster(task: dsl.PipelineTask, waits: bool = False) -> dsl.PipelineTask:
    """Gives a step the services' addresses, what they and the store ask for, and the little that a client needs.

    Args:
        task: The step.
        waits: It waits for a job of a service.
    """
    kubernetes.use_config_map_as_env(task, CONFIG_MAP, {name: name for name in _VARIABLES})
    kubernetes.use_secret_as_env(task, SECRET, {"token": "W2S_TOKEN"}, optional=True)
    kubernetes.use_secret_as_env(task, STORE_SECRET, {name: name for name in _STORE_VARIABLES}, optional=True)
    kubernetes.use_config_map_as_env(task, CONFIG_MAP, {name: name for name in _TLS_VARIABLES}, optional=True)
    kubernetes.use_secret_as_volume(task, TLS_SECRET, TLS_FOLDER, optional=True)
    kubernetes.set_timeout(task, _LONG_S if waits else _SHORT_S)
    # The steps reach services whose jobs are idempotent already; a cached step would hide a lost artifact.
    task.set_caching_options(False)
    return task.set_cpu_request("100m").set_memory_request("512Mi")


@component
def prepare(data: dict) -> dict:
    """Writes a task's splits for each seed."""
    from pipelines.steps import prepare

    return prepare.prepare(**data)


@component
def train(item: dict, checkpoint: Output[Model]) -> dict:
    """Trains a model."""
    from pipelines.steps import train

    run = train.train(item)
    checkpoint.metadata.update(run.get("model", {}))
    return run


@component
def teach(item: dict) -> dict:
    """Makes a trained model the active teacher."""
    from pipelines.steps import teach

    return teach.teach(item)


@component
def label(item: dict, teacher: dict) -> dict:
    """Has the teacher label a dataset."""
    from pipelines.steps import label

    return label.label(item, teacher)


@component
def generate(item: dict, teacher: dict) -> dict:
    """Has the teacher complete prompts."""
    from pipelines.steps import generate

    return generate.generate(item, teacher)


@component
def evaluate(item: dict, run: dict) -> dict:
    """Evaluates a trained model."""
    from pipelines.steps import evaluate, handover

    return handover.hand_over(evaluate.evaluate(item, run))
