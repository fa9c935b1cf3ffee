"""Starts `maquette serve` and checks what only a process shows: cancellation in time, SIGTERM under load, memory.

    python tools/check_serving.py target/release/maquette CHECKPOINT [--slow CHECKPOINT] [--requests 20000] [--clients 8]

Needs nothing but Python. A small checkpoint is enough, but for cancellation: what is cancelled must take seconds, which `--slow` is
for. What is measured is printed as one JSON line.
"""

import argparse
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

options = argparse.ArgumentParser()
options.add_argument("binary")
options.add_argument("checkpoint")
options.add_argument("--slow", help="checkpoint for the cancellation, such as SmolLM2-135M")
options.add_argument("--requests", type=int, default=20_000)
options.add_argument("--clients", type=int, default=8)
options = options.parse_args()
found = {}


class Server:
    def __init__(self, *more, checkpoint=None):
        command = [options.binary, "serve", checkpoint or options.checkpoint, "--port", "0", *more]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if said := re.search(r"http://([\d.]+):(\d+)", line):
                self.address = (said[1], int(said[2]))
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        while True:
            try:
                self.get("/health")
                return
            except OSError:
                time.sleep(0.05)

    def get(self, path):
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def metric(self, name):
        return next(float(line.split()[1]) for line in self.get("/metrics").splitlines() if line.startswith(name + " "))

    def context(self):
        return json.loads(self.get("/v1/models"))["data"][0]["max_model_len"]

    def begin(self, body):
        """A connection on which a request was sent."""
        body = json.dumps(body).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        stream = socket.create_connection(self.address, timeout=600)
        stream.sendall(head.encode() + body)
        return stream

    def becomes(self, name, wanted, seconds):
        """How long a number takes to become what it should."""
        since = time.monotonic()
        while (now := self.metric(name)) != wanted:
            assert time.monotonic() - since < seconds, f"{name} is {now} after {seconds} s, not {wanted}"
            time.sleep(0.01)
        return time.monotonic() - since

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) == 0


def read(stream):
    parts = []
    while part := stream.recv(65536):
        parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return head.decode(), body.decode(errors="replace")


def reset(stream):
    """Breaks off without a word of farewell."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def check_cancelling():
    server = Server("--max-sequences", "1", checkpoint=options.slow)
    context = server.context()
    endless = {"prompt": "Once", "max_tokens": context, "stream": True}
    times = {"decode": [], "prefill": [], "queue": []}
    for i in range(5):
        stream = server.begin({**endless, "seed": i})
        while b"data: " not in stream.recv(65536):
            pass
        reset(stream) if i % 2 else stream.close()
        times["decode"].append(server.becomes("maquette_places_taken", 0, 1))
    for i in range(5):
        prompt = [(7919 * j + i) % 200 + 60 for j in range(context - 2)]
        stream = server.begin({"prompt": prompt, "max_tokens": 1})
        server.becomes("maquette_places_taken", 1, 30)
        reset(stream) if i % 2 else stream.close()
        times["prefill"].append(server.becomes("maquette_places_taken", 0, 1))
    for i in range(5):
        first = server.begin({**endless, "seed": i, "n": 1})
        server.becomes("maquette_places_taken", 1, 30)
        waiting = server.begin({**endless, "seed": i})
        server.becomes("maquette_places_taken", 2, 30)
        reset(waiting) if i % 2 else waiting.close()
        times["queue"].append(server.becomes("maquette_places_taken", 1, 1))
        first.close()
        server.becomes("maquette_places_taken", 0, 1)
    found["cancelled_after_s"] = {name: round(max(all_), 3) for name, all_ in times.items()}
    server.end()


def check_sigterm():
    body = lambda i: {"prompt": f"{i} times", "seed": i, "max_tokens": 60, "stream": i % 2 == 1}
    server = Server("--max-sequences", "4")
    alone = []
    for i in range(30):
        alone.append(json.loads(read(server.begin({**body(i), "stream": False}))[1])["choices"][0])
    streams = [server.begin(body(i)) for i in range(30)]
    server.becomes("maquette_requests_begun_total", 60, 60)
    server.process.send_signal(signal.SIGTERM)
    n_lost = 0
    for i, stream in enumerate(streams):
        _, text = read(stream)
        if i % 2:
            n_lost += "data: [DONE]" not in text
            chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        else:
            text = json.loads(text)["choices"][0]["text"]
        n_lost += text != alone[i]["text"]
    assert server.process.wait(60) == 0
    assert n_lost == 0, f"{n_lost} of 30 accepted requests were lost or changed"
    found["answered_after_sigterm"] = len(streams)


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def check_memory():
    server = Server()
    n_each, sizes, lock = options.requests // options.clients, [], threading.Lock()

    def client(number):
        connection = http.client.HTTPConnection(*server.address, timeout=600)
        for i in range(n_each):
            asked = {"prompt": f"{number} {i}", "max_tokens": 2, "seed": i, "stream": i % 3 == 0}
            connection.request("POST", "/v1/completions", json.dumps(asked), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            if number == 0 and i % max(1, n_each // 40) == 0:
                with lock:
                    sizes.append(resident_kib(server.process.pid))

    since = time.monotonic()
    clients = [threading.Thread(target=client, args=(number,)) for number in range(options.clients)]
    [thread.start() for thread in clients]
    [thread.join() for thread in clients]
    sizes.append(resident_kib(server.process.pid))
    # The cache of keys and values fills first.
    early, late = max(sizes[len(sizes) // 4 : len(sizes) // 2]), max(sizes[-len(sizes) // 4 :])
    found["memory"] = {
        "requests": n_each * options.clients, "seconds": round(time.monotonic() - since, 1),
        "kib_first": sizes[0], "kib_second_quarter": early, "kib_last_quarter": late,
    }
    print("KiB:", *sizes, file=sys.stderr)
    assert server.metric("maquette_places_taken") == 0
    server.end()
    # A few requests do not fill the cache.
    assert options.requests < 20_000 or late < 1.02 * early + 2048, f"memory grows: {early} KiB, then {late} KiB"


def check_vanishing():
    server = Server()
    for i in range(200):
        stream = server.begin({"prompt": f"{i}", "max_tokens": 200, "stream": i % 2 == 0})
        if i % 4 == 0:
            stream.recv(1)
        reset(stream)
    server.becomes("maquette_places_taken", 0, 5)
    found["vanished"] = 200
    server.end()


failed = 0
for check in (check_cancelling, check_sigterm, check_vanishing, check_memory):
    try:
        check()
        print("ok  ", check.__name__, file=sys.stderr)
    except AssertionError as error:
        failed += 1
        print("FAIL", check.__name__, error, file=sys.stderr)
print(json.dumps(found))
sys.exit(failed)
