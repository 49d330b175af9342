#!/usr/bin/python3
"""Writes what a tree holds, a line of JSON for every object, sorted by path.

usage: manifest.py TREE >FILE

Fields: path, type and permissions (mode), uid, gid, nlink and size (not of directories), rdev, mtime and ctime
in nanoseconds, xattrs (all that are shown, hex), and sha256 of a file's data or the target of a symlink.
File systems mounted beneath TREE are not entered. Reading changes nothing but access times. Paths are bytes,
shown as latin1. Any error ends it: a tree that can't be read whole has no manifest.
"""
import hashlib
import json
import os
import stat
import sys


def content(path, info):
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path).decode("latin1")
    if not stat.S_ISREG(info.st_mode):
        return None
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe(path, shown, info):
    names = sorted(os.listxattr(path, follow_symlinks=False))
    is_directory = stat.S_ISDIR(info.st_mode)
    return {
        "path": shown.decode("latin1"),
        "mode": f"{info.st_mode:o}",
        "uid": info.st_uid,
        "gid": info.st_gid,
        "nlink": None if is_directory else info.st_nlink,
        "size": None if is_directory else info.st_size,
        "rdev": info.st_rdev,
        "mtime": str(info.st_mtime_ns),
        "ctime": str(info.st_ctime_ns),
        "xattrs": {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names},
        "content": content(path, info),
    }


def walk(path, shown, device, out):
    info = os.lstat(path)
    out.append(describe(path, shown, info))
    if not stat.S_ISDIR(info.st_mode) or info.st_dev != device:
        return
    for name in os.listdir(path):
        walk(os.path.join(path, name), os.path.join(shown, name), device, out)


def main():
    root = os.fsencode(sys.argv[1])
    out = []
    walk(root, b"/", os.lstat(root).st_dev, out)
    out.sort(key=lambda entry: entry["path"])
    for entry in out:
        sys.stdout.write(json.dumps(entry) + "\n")


main()
