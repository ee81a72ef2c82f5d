"""A whole robot in lock-step at work, with all that a run needs on disk."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conf.load import compose
from conf.schema import Config
from models.policy.bundle import manifest_of
from models.policy.card import CARD_FILE, arm_folder
from runtime.paths import Paths
from runtime.skills.cache import SkillCache
from runtime.skills.cli import write_manifest
from runtime.skills.manifest import MANIFEST_FILE
from runtime.skills.package import read_source
from runtime.skills.signature import public_pem, sign_folder
from sim.lockstep import Builder, LockStep, Pictures, Setup
from sim.robot_model import Arm
from sim.scenario import Scenario

FACILITIES = {Arm.PANDA: "osaka", Arm.UR5E: "gdansk"}
WORKERS = ("safetyd", "plannerd", "policyd", "agentd")


def config_of(arm: Arm) -> Config:
    return compose(hardware="sim_x86", facility=FACILITIES[arm]).config


def install_shipped_skill(paths: Paths, arm: Arm) -> None:
    """As `make` does it, with a key that lives as long as the run."""
    key = Ed25519PrivateKey.generate()
    trusted = paths.pki / "skills"
    trusted.mkdir(parents=True, exist_ok=True)
    (trusted / "run.pem").write_bytes(public_pem(key.public_key()))
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("primary.onnx", "backup.onnx", CARD_FILE):
            (folder / file).write_bytes((arm_folder(arm.value) / file).read_bytes())
        write_manifest(folder / MANIFEST_FILE, manifest_of(arm))
        sign_folder(folder, key)
        assert read_source(folder)
        SkillCache.open(paths.skills, trusted).install(folder, arm.value)


@contextmanager
def working_robot(
    arm: Arm,
    seed: int,
    scenario: Scenario,
    *,
    builders: dict[str, Builder] | None = None,
    pictures: Pictures = Pictures.STAND_IN,
    change: Callable[[Config], Config] | None = None,
) -> Iterator[LockStep]:
    """A robot on duty. Its folders are gone afterwards."""
    config = config_of(arm)
    config = config if change is None else change(config)
    with TemporaryDirectory(dir=_memory()) as name:
        root = Path(name)
        paths = Paths(root / "run", root / "data")
        install_shipped_skill(paths, arm)
        daemons = WORKERS if pictures is Pictures.STAND_IN else ("visiond", *WORKERS)
        setup = Setup(daemons=daemons, pictures=pictures, builders=builders or {})
        with LockStep(config, paths.run, paths.data, seed, scenario=scenario, setup=setup) as run:
            yield run


def _memory() -> Path | None:
    """Shared files want RAM below them where the machine has it."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None
