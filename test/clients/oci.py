#!/usr/bin/python3
"""Writes an OCI archive of an image, and prints its chain id: the name that containerd gives to the snapshot of its topmost layer.

usage: oci.py ARCHIVE NAME LAYER...

Each LAYER is a tar, gzipped or not, lowest first. The image is for this machine's architecture.
"""
import functools
import gzip
import hashlib
import io
import json
import platform
import sys
import tarfile

image_spec = "application/vnd.oci.image."


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add_blob(archive, media_type, data):
    """Adds the data, and returns the descriptor for them."""
    digest = digest_of(data)
    add(archive, "blobs/" + digest.replace(":", "/"), data)
    return {"mediaType": image_spec + media_type, "digest": digest, "size": len(data)}


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def main():
    path, name, *layers = sys.argv[1:]
    with tarfile.open(path, "w") as archive:
        tars = [read(layer) for layer in layers]
        digests = [digest_of(tar) for tar in tars]
        config = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": image_spec + "manifest.v1+json",
            "config": add_blob(archive, "config.v1+json", json.dumps(config).encode()),
            "layers": [add_blob(archive, "layer.v1.tar", tar) for tar in tars],
        }
        descriptor = add_blob(archive, "manifest.v1+json", json.dumps(manifest).encode())
        named = {**descriptor, "annotations": {"io.containerd.image.name": name}}
        add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [named]}).encode())
        add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    print(functools.reduce(lambda chain, digest: digest_of(f"{chain} {digest}".encode()), digests))


main()
