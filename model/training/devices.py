"""Training on several devices or hosts, data-parallel, by Keras' own distribution interface.

Every device holds the whole network and takes its share of each batch; gradients and the
statistics of batch normalisation are of the whole batch, so the losses are those of one device.
Keras does this on JAX. Several hosts find each other by Keras' own environment variables:

    KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST_0:PORT   where the first process listens
    KERAS_DISTRIBUTION_NUM_PROCESSES=2             how many there are
    KERAS_DISTRIBUTION_PROCESS_ID=0                which one this is, from 0
"""

import os

import keras

from model.network.network import NetworkError

SEVERAL = "KERAS_DISTRIBUTION_NUM_PROCESSES"


def spread(devices: int) -> tuple[int, int]:
    """Train on the first `devices` of all hosts from here on; call it before anything is computed.

    Returns this process' number and how many there are: (0, 1) on one host. Raises NetworkError
    where there are fewer devices, or where the backend is not JAX.
    """
    hosts = int(os.environ.get(SEVERAL, "1"))
    if devices == 1 and hosts == 1:
        return 0, 1
    backend = keras.backend.backend()
    if backend != "jax":
        raise NetworkError(
            f"--devices {devices} needs JAX, and Keras runs on {backend}: set KERAS_BACKEND=jax."
        )
    import jax

    if hosts > 1:
        keras.distribution.initialize()
    found = keras.distribution.list_devices()
    if len(found) < devices:
        raise NetworkError(
            f"--devices {devices}: JAX finds {len(found)} ({', '.join(found)}). Ask for no more."
        )
    processes = jax.process_count()
    if processes > 1 and devices != len(found):
        raise NetworkError(
            f"--devices {devices}: on several hosts all devices take part, and they have "
            f"{len(found)}."
        )
    # model/data/batches.py gives each process its share of a batch.
    parallel = keras.distribution.DataParallel(devices=found[:devices], auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    return jax.process_index(), processes


def gather_alone() -> None:
    """Go on with one device: what is computed from here on is not spread."""
    keras.distribution.set_distribution(None)
