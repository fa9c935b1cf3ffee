"""Serves a GGUF file with llama.cpp's server, from the PyPI wheel `xllamacpp`, to be measured beside `maquette serve`.

    pip install xllamacpp
    maquette export CHECKPOINT --quant bf16 --out model.gguf
    python benches/peers/serve_llama_cpp.py model.gguf --port 8081 --slots 16 --context 256
    maquette bench serve --url http://127.0.0.1:8081 --clients 100 --seconds 110 --vocab-size 40000
"""

import argparse
import time

import xllamacpp

options = argparse.ArgumentParser()
options.add_argument("model")
options.add_argument("--port", type=int, default=8081)
options.add_argument("--slots", type=int, default=16, help="sequences that are decoded at a time")
options.add_argument("--context", type=int, default=256, help="tokens of each")
options.add_argument("--threads", type=int, default=2)
options = options.parse_args()
params = xllamacpp.CommonParams()
params.model.path = options.model
params.port, params.n_parallel, params.cont_batching = options.port, options.slots, True
params.n_ctx = options.slots * options.context
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
params.n_threads_http = 128
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
while True:
    time.sleep(3600)
