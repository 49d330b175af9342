#!/usr/bin/python3
"""Writes what an archive makes of a tree, a line of JSON for each name that it changes.

usage: image.py ARCHIVE SINCE

ARCHIVE is an OCI archive, whose layers are applied one upon the other, or the tar of a container's tree. An entry that repeats what is there
already changes nothing: engines write such ones where they take the kernel's upper as it is, and none where they compare two mounts.
Times from SINCE on (seconds since the epoch) are those of the work itself, and left out.
"""
import hashlib
import json
import posixpath
import sys
import tarfile

since = float(sys.argv[2])
whiteout = ".wh."
opaque = ".wh..wh..opq"
# Of the kernel's overlayfs in a user namespace: podman leaves them in layers.
marks = "SCHILY.xattr.user.overlay."


def describe(tar, entry):
    data = tar.extractfile(entry) if entry.isreg() else None
    return {
        "type": entry.type.decode("latin1"),
        "mode": f"{entry.mode & 0o7777:o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "target": entry.linkname,
        "device": [entry.devmajor, entry.devminor] if entry.isdev() else None,
        "mtime": int(entry.mtime) if entry.mtime < since else None,
        "xattrs": {key: value for key, value in sorted(entry.pax_headers.items()) if key.startswith("SCHILY.xattr.") and not key.startswith(marks)},
        "content": hashlib.sha256(data.read()).hexdigest() if data else None,
    }


def remove_below(tree, name, itself):
    for other in [each for each in tree if each.startswith(name + "/") or (itself and each == name)]:
        del tree[other]


def apply(tree, stream):
    """The tree, name -> (object, description), with a layer on it; hard links share their object."""
    below = dict(tree)
    made = {}
    with tarfile.open(fileobj=stream) as tar:
        for entry in tar:
            name = posixpath.normpath(entry.name).lstrip("/")
            folder, last = posixpath.split(name)
            if last == opaque:
                remove_below(below, folder, False)
            elif last.startswith(whiteout):
                remove_below(below, posixpath.join(folder, last[len(whiteout):]), True)
            elif entry.islnk():
                target = posixpath.normpath(entry.linkname).lstrip("/")
                made[name] = made[target] if target in made else tree[target]
            else:
                made[name] = (object(), describe(tar, entry))
    # What is no directory any more, or became one, hides what was below.
    for name, (_, what) in made.items():
        if what["type"] != "5":
            remove_below(below, name, False)
    return {**below, **made}


def groups(tree):
    """name -> all names of its object."""
    names = {}
    for name, (identity, _) in sorted(tree.items()):
        names.setdefault(id(identity), []).append(name)
    return {name: names[id(identity)] for name, (identity, _) in tree.items()}


def changes(before, after):
    links_before, links = groups(before), groups(after)
    for name in sorted({**before, **after}):
        if name not in after:
            yield {"name": name, "gone": True}
        elif name not in before or before[name][1] != after[name][1] or links_before[name] != links[name]:
            linked = links[name] if len(links[name]) > 1 else None
            yield {"name": name, "links": linked, **after[name][1]}


def layers():
    with tarfile.open(sys.argv[1]) as archive:
        if "oci-layout" not in archive.getnames():
            with open(sys.argv[1], "rb") as stream:
                yield stream
            return

        def blob(digest):
            return archive.extractfile("blobs/" + digest.replace(":", "/"))

        index = json.load(archive.extractfile("index.json"))
        for layer in json.load(blob(index["manifests"][0]["digest"]))["layers"]:
            yield blob(layer["digest"])


tree = {}
for number, stream in enumerate(layers()):
    changed = apply(tree, stream)
    for line in changes(tree, changed):
        print(json.dumps({"layer": number, **line}))
    tree = changed
