#!/usr/bin/env python3
"""Fetch and unpack the packages from which thousandfold_texts.py makes its corpora.

    fetch_thousandfold.py SET --out DIR        SET: a section of thousandfold_packages.txt, such as python-2 or prose

The sets are in thousandfold_packages.txt: packages of PyPI with their versions, and names of packages of Debian 12,
which wants `apt-get update` first. One folder a package, named as thousandfold_texts.py reads it. What is there already is kept.
Only Python's standard library is needed (3.9 or later), for prose apt-get and dpkg-deb too; python takes a minute, prose ten.
"""

import argparse
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SETS = Path(__file__).with_name("thousandfold_packages.txt")
INDEX = "https://pypi.org/simple/"
LARGEST_DEB = 90_000_000    # bytes; of larger ones most is no text


def packages(name):
    """The packages of one set."""
    lines, inside = [], False
    for line in map(str.strip, SETS.read_text().splitlines()):
        if line.startswith("["):
            inside = line == f"[{name}]"
        elif inside and line and not line.startswith("#"):
            lines += line.split()
    if not lines:
        raise SystemExit(f"expected a set of {SETS}, found `{name}`")
    return lines


def download(url):
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json, */*;q=0.1"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def choose(files, version):
    """The smallest wheel for any machine, else the smallest wheel, else the source archive; `None` without any."""
    def has_version(file):
        name = file["filename"]
        return name.endswith(f"-{version}.tar.gz") or name.endswith(".whl") and name.split("-")[1] == version

    def order(file):
        name = file["filename"]
        return name.endswith(".tar.gz"), "none-any" not in name, file.get("size") or 0, name

    return min(filter(has_version, files), key=order, default=None)


def fetch_python(package, out):
    name, version = package.split("==")
    folder = out / f"{name}-{version}"
    if folder.exists():
        return f"{package}: there"
    page = urllib.parse.urljoin(INDEX, name.replace("_", "-") + "/")
    file = choose(json.loads(download(page))["files"], version)
    if file is None:
        return f"{package}: no file of this version"
    data = io.BytesIO(download(urllib.parse.urljoin(page, file["url"])))
    if file["filename"].endswith(".whl"):
        with zipfile.ZipFile(data) as archive:
            members = {n: archive.read(n) for n in archive.namelist() if n.endswith(".py")}
    else:
        with tarfile.open(fileobj=data) as archive:
            members = {m.name.split("/", 1)[-1]: archive.extractfile(m).read()
                       for m in archive if m.isfile() and m.name.endswith(".py")}
    part = out / f".{folder.name}.part"     # what a stopped call leaves is not taken for the whole
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for member, text in members.items():
        path = part / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    part.rename(folder)
    return f"{package}: {len(members)} files"


def fetch_debian(package, out):
    if any(out.glob(f"{package}_*")):
        return f"{package}: there"
    with tempfile.TemporaryDirectory(dir=out, prefix=".") as part:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=part, capture_output=True)
        deb = next(Path(part).glob("*.deb"), None)
        if deb is None:
            return f"{package}: not to be had"
        if deb.stat().st_size > LARGEST_DEB:
            return f"{package}: left out, {deb.stat().st_size} bytes"
        name, version, _ = deb.name.rsplit("_", 2)
        subprocess.run(["dpkg-deb", "-x", deb, f"{part}/unpacked"], check=True)
        Path(part, "unpacked").rename(out / f"{name}_{version}")
    return f"{package}: unpacked"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("set", help="a set of thousandfold_packages.txt")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packages")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.set.startswith("python"):
        with ThreadPoolExecutor(8) as pool:
            lines = pool.map(lambda package: fetch_python(package, args.out), packages(args.set))
    else:
        lines = (fetch_debian(package, args.out) for package in packages(args.set))
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
