"""Several processes that train together: who starts them, which one this is, and what only the first one does.

One process has one device. torchrun or SLURM start them, on one node or several; where neither did, the process that
was asked to train starts the others of its node itself, and ends them with itself.

    snnkit train RECIPE --trainer.devices 4
    torchrun --nnodes 2 --nproc_per_node 4 … -m snnkit train RECIPE --trainer.devices 4 --trainer.num_nodes 2
    srun --ntasks-per-node 4 snnkit train RECIPE --trainer.devices 4 --trainer.num_nodes 2

What is equal to one process with the same settings, and what is not:

- The same samples in the same batches (`data.batch_size` is that of all processes together), with the same random
  changes and codes, for any number of processes: bit for bit.
- Gradients up to rounding, through batch norms, penalties and a smaller last batch too; so weights drift apart slowly,
  as between two numbers of threads. Two runs with equal numbers of processes and threads are bit-equal, resumed or not.
- Dropout and other draws inside the network, which each process makes for its own samples: not equal.
- Measuring: for the same weights, accuracy, loss and rates of validation and test data are bit-equal (with the same
  number of threads per process). Validation batches are divided as wholes; the first process measures the test data.

Only the first process writes the run's folder and reports. Every node has to see that folder.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed as dist

from snnkit.errors import ParameterError, SnnkitError, StateError, UsageError
from snnkit.nn.processes import gathered

T = TypeVar("T")
PATIENCE = timedelta(hours=2)
"""How long a process waits for the others; long, since preparing data is waited for too."""
WORK = "import sys; from snnkit.training.processes import work; work(sys.argv[1])"
READY = "SNNKIT_READY_FILE"


@dataclass(frozen=True)
class Processes:
    """Those who train together, seen by one of them.

    Attributes:
        rank: this one's number. world: how many there are. local_rank: its number on its node.
        environment: what lightning asks for these; None for one process.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    environment: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def first(self, make: Callable[[], T]) -> T:
        """What `make` returns in the first process, for all of them; if it raises a SnnkitError, all do."""
        if self.world == 1:
            return make()
        made: list[Any] = [None, None]
        if self.is_first:
            try:
                made[1] = make()
            except SnnkitError as error:
                made[0] = error
        dist.broadcast_object_list(made, src=0)
        if made[0] is not None:
            raise made[0]
        return made[1]  # type: ignore[no-any-return]

    def in_turn(self, make: Callable[[], object]) -> None:
        """Call `make` in the first process, then in the first of each other node, then in the rest: what the earlier
        ones leave in a cache the later ones find."""
        mine = 0 if self.is_first else 1 if self.local_rank == 0 else 2
        for turn in range(3 if self.world > 1 else 1):
            failed: SnnkitError | None = None
            if turn == mine:
                try:
                    make()
                except SnnkitError as error:
                    failed = error
            for told in gathered(failed):
                if told is not None:
                    raise told


def started() -> Any:
    """The environment that torchrun or SLURM made for this process; None where this process was started alone."""
    from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return TorchElasticEnvironment()
    if SLURMEnvironment.detect() and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return SLURMEnvironment(auto_requeue=False)  # a run goes on from its last.ckpt
    return None


def rank_of(trainer: Mapping[str, Any]) -> int:
    """This process's number in a training with these settings, also before and after it."""
    if trainer.get("devices", 1) * trainer.get("num_nodes", 1) == 1 and "RANK" not in os.environ:
        return 0  # several jobs of SLURM may train each their own
    environment = started()
    return 0 if environment is None else int(environment.global_rank())


@contextmanager
def join(trainer: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[Processes]:
    """Within it, this process is one of those who train together.

    Args:
        trainer: resolved settings: devices, num_nodes, accelerator.
        arguments: of `fit`, for processes that are started here.

    Raises:
        ParameterError: more devices than there are.
        UsageError: other processes were started than the settings say.
        StateError: a process that was started here has died.
    """
    devices, nodes = trainer["devices"], trainer["num_nodes"]
    environment, world = None, devices * nodes
    if world > 1 or "RANK" in os.environ:
        environment = started()
    there = 1 if environment is None else int(environment.world_size())
    if environment is not None and there != world:
        raise UsageError(
            f"{there} processes were started, and the settings say {devices} devices on {nodes} nodes",
            fix=f"--trainer.devices × --trainer.num_nodes = {there}, or start {world}",
        )
    if world == 1:
        yield Processes()
        return
    gpu = trainer["accelerator"] == "gpu" or (trainer["accelerator"] == "auto" and torch.cuda.is_available())
    if gpu and devices > torch.cuda.device_count():
        raise ParameterError(
            f"trainer.devices is {devices}, this machine has {torch.cuda.device_count()} GPUs",
            fix="give fewer, or --trainer.accelerator cpu",
        )
    if environment is not None:
        with _connected(environment, gpu) as processes:
            yield processes
        return
    if nodes > 1:
        raise UsageError(
            f"trainer.num_nodes is {nodes}, and nobody has started processes on the other nodes",
            fix=f"on each node: torchrun --nnodes {nodes} --nproc_per_node {devices} --rdzv_backend c10d "
            "--rdzv_endpoint HOST:PORT -m snnkit train …; or srun",
        )
    with _children(devices, arguments, gpu) as processes:
        yield processes


@contextmanager
def _connected(environment: Any, gpu: bool) -> Iterator[Processes]:
    """The process group, through the rendezvous of the environment."""
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    rank, world, local = environment.global_rank(), environment.world_size(), environment.local_rank()
    if gpu:
        torch.cuda.set_device(local)
    if READY in os.environ:
        Path(os.environ[READY]).touch()
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        yield Processes(rank, world, local, environment)
        dist.barrier()  # nobody leaves while another still listens
    finally:
        dist.destroy_process_group()


@contextmanager
def _children(devices: int, arguments: Mapping[str, Any], gpu: bool) -> Iterator[Processes]:
    """This process as the first, and others started beside it; they end with the block."""
    try:
        message = pickle.dumps(dict(arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            "this training cannot be handed to other processes", why=str(error), fix="start it with torchrun"
        ) from error
    before, threads = dict(os.environ), torch.get_num_threads()
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        "WORLD_SIZE": str(devices), "LOCAL_WORLD_SIZE": str(devices), "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="snnkit-processes-") as name:
        folder = Path(name)
        (folder / "fit").write_bytes(message)
        children: dict[int, subprocess.Popen[bytes]] = {}
        try:
            for rank in range(1, devices):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank), READY: str(folder / f"{rank}.ready")}
                with open(folder / f"{rank}.log", "wb") as log:
                    children[rank] = subprocess.Popen(
                        [sys.executable, "-c", WORK, str(folder / "fit")],
                        env={**before, **common, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others
                    )  # fmt: skip
            while not all((folder / f"{rank}.ready").exists() for rank in children):
                _check_alive(children, folder)
                time.sleep(0.02)
            os.environ.update({**common, "RANK": "0", "LOCAL_RANK": "0"})
            from lightning.fabric.plugins.environments import TorchElasticEnvironment

            with _connected(TorchElasticEnvironment(), gpu) as processes:
                try:
                    yield processes
                except (SnnkitError, KeyboardInterrupt):
                    raise
                except Exception:
                    time.sleep(0.5)  # a connection breaks a moment before the process at its other end is gone
                    _check_alive(children, folder)
                    raise
            for child in children.values():
                child.wait()
            _check_alive(children, folder)
        finally:
            for child in children.values():
                child.kill()
                child.wait()
            os.environ.clear()
            os.environ.update(before)
            torch.set_num_threads(threads)


def _check_alive(children: Mapping[int, subprocess.Popen[bytes]], folder: Path) -> None:
    for rank, child in children.items():
        if child.poll():
            said = (folder / f"{rank}.log").read_text(encoding="utf-8", errors="replace").strip()
            raise StateError(
                f"process {rank} of {len(children) + 1} ended with code {child.returncode}",
                why="it said: " + (said[-2000:] or "nothing"),
                fix="mend that; the run's complete epochs are kept, --resume goes on after them",
            )


def work(path: str) -> None:
    """What a process does that was started here: the same training, as another one of them."""
    arguments = pickle.loads(Path(path).read_bytes())
    from snnkit.training.fitting import fit

    fit(**arguments, progress=False)
