"""Hostile input, case by case, in a process of its own: the outcome must be a result or one clear line.

A script of cases calls `main`; a test calls `run`, which begins anew behind a case that ended or stopped the process.
Alone, a script tries more: `python tests/data/hdf5/hostile_files.py --seed 7 --count 2000`.
"""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback

SECONDS = 10
"""A case that takes longer hangs."""
ROOM = 32 << 30
"""Bytes of address space; a case that wants more is refused by hepjax, or ends in a MemoryError."""
GOOD = ("read", "refused")


def run(script, seed, count, environment=()):
    """The outcomes of the cases of a script: a list of (case, outcome, words)."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        while len(found) < count:
            command = [sys.executable, script, "--child", folder, "--seed", seed, "--count", count]
            command += ["--first", len(found)]
            process = subprocess.Popen(
                [str(word) for word in command],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **dict(environment), "PYTHONFAULTHANDLER": "1"},
            )
            (_, *lines), end = _lines(process)
            found += [tuple(line.split("\t", 2)) for line in lines]
            if len(found) < count:
                said = process.stderr.read().decode(errors="replace").strip().splitlines()
                found.append((str(len(found)), end, " | ".join(said[:12])[:1500]))
            process.stderr.close()
    return found


def _lines(process):
    """What a process prints until it ends, and how that was; one that says nothing for too long is killed."""
    lines, rest, end = [], b"", "crash"
    patience = 60  # for its imports
    while True:
        if not select.select([process.stdout], [], [], patience)[0]:
            process.kill()
            end = "hang"
            break
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            break
        *whole, rest = (rest + data).split(b"\n")
        lines += [line.decode() for line in whole]
        patience = 3 * SECONDS
    process.wait()
    process.stdout.close()
    if not lines:
        raise RuntimeError(f"no case was tried: {process.stderr.read().decode(errors='replace')}")
    return lines, end


def main(prepare, attempt, error):
    """The process of a script.

    Args:
      prepare: folder → what all cases need.
      attempt: (prepared, seed of the case, folder) → what the case is; it raises `error` where that is refused.
      error: the exception of one clear line.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--child", type=pathlib.Path)
    given = parser.parse_args()
    if given.child is None:
        report(run(sys.argv[0], given.seed, given.count))
        return
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    signal.signal(signal.SIGALRM, _stop)
    prepared = prepare(given.child)
    output.write("ready\n")
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    for number in range(given.first, given.count):
        signal.alarm(SECONDS)
        try:
            outcome, words = "read", attempt(prepared, (given.seed, number), given.child)
        except error as problem:
            words = str(problem)
            outcome = "refused" if words.isprintable() and len(words) < 3000 else "unclear"
        except TimeoutError:
            outcome, words = "hang", traceback.format_exc(limit=-3)
        except BaseException:  # noqa: BLE001 - whatever it is
            outcome, words = "traceback", traceback.format_exc(limit=-6)
        signal.alarm(0)
        output.write(f"{number}\t{outcome}\t{' | '.join(str(words).splitlines())}\n")


def _stop(*_):
    raise TimeoutError


def report(found):
    """Prints how many cases had which outcome, and each that is neither a result nor a clear line."""
    for number, outcome, words in found:
        if outcome not in GOOD:
            print(number, outcome, words)  # noqa: T201
    print(dict(collections.Counter(outcome for _, outcome, _ in found)))  # noqa: T201
