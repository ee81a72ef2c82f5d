"""The durable task list: kill -9, a damaged file, a disk that refuses."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from runtime.agent.store import TaskStore
from runtime.agent.task import FailReason, Task, TaskSource, TaskState

ROOT = Path(__file__).parents[2]


def task(task_id: int, **fields) -> Task:
    return Task(task_id, "pick_place", TaskSource.API, created_wall_ns=task_id, **fields)


def test_store_gives_back_what_was_saved(tmp_path):
    store = TaskStore(tmp_path / "tasks.sqlite")
    first = task(1, object_id=4, high_value=True)
    second = task(2).finished(TaskState.FAILED, 99, FailReason.GRASP_MISSED, "twice")
    assert store.save(first).result()
    assert store.save(second).result()
    store.close()
    again = TaskStore(tmp_path / "tasks.sqlite")
    assert again.load() == [first, second]
    again.close()


def test_store_survives_kill_9_with_every_saved_task(tmp_path):
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from runtime.agent.store import TaskStore
        from runtime.agent.task import Task, TaskSource
        store = TaskStore(Path({str(tmp_path / "tasks.sqlite")!r}))
        for number in range(1, 100000):
            store.save(Task(number, "pick_place", TaskSource.API, 0)).result()
            print(number, flush=True)
    """)
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = [int(next(child.stdout)) for _ in range(25)]
    os.kill(child.pid, signal.SIGKILL)
    said += [int(line) for line in child.stdout if line.strip()]
    child.wait()
    child.stdout.close()
    store = TaskStore(tmp_path / "tasks.sqlite")
    kept = {saved.task_id for saved in store.load()}
    store.close()
    assert set(said) <= kept


def test_store_sets_a_damaged_file_aside_and_starts_empty(tmp_path):
    path = tmp_path / "tasks.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    store = TaskStore(path)
    assert store.load() == []
    assert store.save(task(1)).result()
    store.close()
    assert (tmp_path / "tasks.damaged").read_bytes().startswith(b"this is no database")


def test_store_counts_a_disk_that_refuses_and_writes_all_when_it_is_back(tmp_path):
    folder = tmp_path / "data"
    folder.write_text("a file where the folder should be")
    store = TaskStore(folder / "tasks.sqlite")
    assert not store.save(task(1)).result()
    assert not store.save(task(2)).result()
    assert store.refused_writes == 2
    folder.unlink()
    assert store.save(task(3)).result()
    assert [saved.task_id for saved in store.load()] == [1, 2, 3]
    store.close()
