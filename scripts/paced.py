"""Runs the client that sends at a given rate (benches/latency/paced.rs). Imported by the benchmarks.

The server has one core and the client another. What other programs of this machine use meanwhile is
measured too, since it is the first thing to know about a figure that surprises.
"""

import json
import os
import pathlib
import shlex
import subprocess
import time

import bench_tenants

TICKS = os.sysconf("SC_CLK_TCK")
TIMEOUT_S = 600


def run(program, server, **options):
    """The client's figures, by name; `rate=1000` stands for `--rate 1000`, `fill=True` for `--fill`."""
    command = [program, "--address", f"127.0.0.1:{server.port}"]
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        command += [word] if value is True else [word, str(value)]
    watch = Watch(server)
    with bench_tenants.inherited(bench_tenants.CLIENTS_CORE, -20):
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip()[-2000:]}")
    figures = json.loads(done.stdout)
    figures["cpu_us"] = watch.server_ns() / 1000 / figures["commands"]
    figures["others"] = watch.others()
    return figures


def wait_for_quiet(server, others_max, patience_s):
    """Waits until other programs use less than that many cores; how long it took."""
    start = time.monotonic()
    while time.monotonic() < start + patience_s:
        watch = Watch(server)
        time.sleep(0.5)
        if watch.others() < others_max:
            break
    return time.monotonic() - start


class Watch:
    """Who uses the processors from now on."""

    def __init__(self, server):
        self.server, self.start = server, time.monotonic()
        self.before_ns, self.before = self._server_ns(), self._all()

    def _server_ns(self):
        """In nanoseconds: the ticks of /proc/PID/stat are too coarse for short runs."""
        tasks = pathlib.Path(f"/proc/{self.server.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    @staticmethod
    def _all():
        """Seconds of all processes, and of the clients that have ended."""
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()
        usage = os.times()
        return sum(map(int, fields[1:4])) / TICKS - usage.children_user - usage.children_system

    def server_ns(self):
        return self._server_ns() - self.before_ns

    def others(self):
        """How many cores' worth was used by other processes."""
        used = self._all() - self.before - self.server_ns() / 1e9
        return max(used / (time.monotonic() - self.start), 0.0)
